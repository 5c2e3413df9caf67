using Npgsql;

namespace JobLocks.Postgres.Session;

/// <summary>
/// Overrides time-outs of a role or a database that end a connection before <see cref="ConnectionSetUp"/> can override them: it sends them as options
/// when it connects. It does so only after such a time-out has ended a connection, since a pooler can refuse a client that sends options.
/// Thread-safe.
/// </summary>
internal sealed class StartOptions
{
    // The driver has no names for these error codes.
    private const string IdleSessionTimedOut = "57P05";
    private const string TransactionTimedOut = "25P04";
    private const string StatementTimeout = "statement_timeout";

    private string _text = "";

    /// <summary>The time-out that ends the connections of a role, with the remedy; null for other errors.</summary>
    public static string? RemedyOf(string? state) => SettingOf(state) is not { } setting
        ? null
        : $" Its role or database sets {setting} so low that no statement can be run, and this could not be overridden. ALTER ROLE or ALTER DATABASE ... RESET {setting}.";

    /// <summary>Adds the options that are needed so far to a connection string.</summary>
    public void AddTo(NpgsqlConnectionStringBuilder settings)
    {
        if (Volatile.Read(ref _text) is { Length: > 0 } text) settings.Options = $"{settings.Options} {text}".TrimStart();
    }

    /// <summary>
    /// Whether another try can succeed after this failure. After any other error all options are dropped, because the options themselves can be
    /// refused.
    /// </summary>
    /// <param name="failed">The error while the connection was opened or set up.</param>
    /// <param name="used">The options with which it was opened.</param>
    public bool TryAdaptTo(Exception failed, string? used)
    {
        if (failed is not NpgsqlException) return false;

        if (OptionFor(failed) is not { } option || used?.Contains(option, StringComparison.Ordinal) == true)
        {
            Volatile.Write(ref _text, "");
            return false;
        }

        // Another thread may change the options at the same time.
        string known;
        do known = Volatile.Read(ref _text);
        while (!known.Contains(option, StringComparison.Ordinal) && !ReferenceEquals(Interlocked.CompareExchange(ref _text, $"{known} {option}".TrimStart(), known), known));
        return true;
    }

    private static string? OptionFor(Exception failed) =>
        (failed is AnswerCutOffException ? StatementTimeout : SettingOf((failed as PostgresException)?.SqlState)) is { } setting ? $"-c {setting}=0" : null;

    private static string? SettingOf(string? state) => state switch
    {
        IdleSessionTimedOut => "idle_session_timeout",
        TransactionTimedOut => "transaction_timeout",
        _ => null,
    };
}
