using Npgsql;

namespace JobLocks.Postgres.Session;

/// <summary>
/// Time-outs of a role or a database that end a connection before <see cref="ConnectionSetUp"/> can override them: these are overridden when connecting. Only where one
/// has ended a connection, since a pooler can refuse a client that comes with options. Thread-safe.
/// </summary>
internal sealed class StartOptions
{
    // The driver has no names for them.
    private const string IdleSessionTimedOut = "57P05";
    private const string TransactionTimedOut = "25P04";

    private volatile string _text = "";

    /// <summary>What ends a connection of a role, with the cure; null for everything else.</summary>
    public static string? CureOf(string? state) => SettingOf(state) is not { } setting
        ? null
        : $" Its role or database sets {setting} so low that no statement can be run, and this could not be overridden. ALTER ROLE or ALTER DATABASE ... RESET {setting}.";

    /// <summary>Adds what has been learned to a connection string.</summary>
    public void AddTo(NpgsqlConnectionStringBuilder settings)
    {
        if (_text is { Length: > 0 } text) settings.Options = $"{settings.Options} {text}".TrimStart();
    }

    /// <summary>Whether another try can succeed where this one failed. After any other error nothing is kept: the options themselves can be refused.</summary>
    /// <param name="failed">Why the connection could not be opened or set up.</param>
    /// <param name="used">The options that it was opened with.</param>
    public bool LearnsFrom(Exception failed, string? used)
    {
        if (failed is not NpgsqlException) return false;

        if (OptionFor((failed as PostgresException)?.SqlState) is not { } option || used?.Contains(option, StringComparison.Ordinal) == true)
        {
            _text = "";
            return false;
        }

        // Another connection can have learned it meanwhile.
        if (_text is var known && !known.Contains(option, StringComparison.Ordinal)) _text = $"{known} {option}".TrimStart();
        return true;
    }

    private static string? OptionFor(string? state) => SettingOf(state) is { } setting ? $"-c {setting}=0" : null;

    private static string? SettingOf(string? state) => state switch
    {
        IdleSessionTimedOut => "idle_session_timeout",
        TransactionTimedOut => "transaction_timeout",
        _ => null,
    };
}
