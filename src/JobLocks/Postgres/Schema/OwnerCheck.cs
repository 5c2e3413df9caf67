using System.Diagnostics.CodeAnalysis;
using JobLocks.Locks;
using JobLocks.Postgres.Session;
using JobLocks.Primitives;
using Npgsql;

namespace JobLocks.Postgres.Schema;

/// <summary>
/// Refuses a schema in which a foreign role owns objects of this library: its code would run with the rights of this role. Thread-safe.
/// </summary>
[SuppressMessage("Usage", "VSTHRD103:Call async methods when in an async method", Justification = "The caller says which of the two it needs.")]
internal sealed class OwnerCheck(JobLocksOptions options)
{
    // The schema watch checks every three seconds over the session. So the connections of the pools check only in a process without a session.
    private const long ProofLastsMilliseconds = 5000;
    private const long Never = long.MinValue / 2;

    private long _provenAt = Never;

    /// <summary>Checks the owners, unless this process did so in the last 5 seconds.</summary>
    /// <param name="connection">A connection on which <see cref="ConnectionSetUp"/> has run.</param>
    /// <param name="blocks">Whether to run synchronously: nothing is awaited then.</param>
    /// <param name="stop">Cancels the check.</param>
    /// <exception cref="UnusableServerException">A foreign role owns an object. The message names the object, its owner and the remedy.</exception>
    public ValueTask EnsureAsync(NpgsqlConnection connection, bool blocks, CancellationToken stop) =>
        Milliseconds - Volatile.Read(ref _provenAt) < ProofLastsMilliseconds ? ValueTask.CompletedTask : RunAsync(connection, blocks, stop);

    /// <summary>Checks the owners.</summary>
    /// <inheritdoc cref="EnsureAsync"/>
    public async ValueTask RunAsync(NpgsqlConnection connection, bool blocks, CancellationToken stop)
    {
        if (options.Schema is not { } schema) return;

        var askedAt = Milliseconds;
        if (options.SchemaOwner is { } owner)
            await AskAsync(new(OwnerSql.SetOwner, connection) { Parameters = { new NpgsqlParameter<string> { TypedValue = owner } } }, blocks, stop).ConfigureAwait(false);

        ThrowIfUntrusted(await AskAsync(new(SchemaSql.For(schema, OwnerSql.Foreign), connection), blocks, stop).ConfigureAwait(false) as string, askedAt);
    }

    /// <summary>Checks the owners again on a connection on which <see cref="RunAsync"/> has run before.</summary>
    /// <param name="ask">Runs a statement and returns its single value.</param>
    /// <exception cref="UnusableServerException">A foreign role owns an object. The message names the object, its owner and the remedy.</exception>
    public void RunAgain(Func<string, string?> ask)
    {
        if (options.Schema is not { } schema) return;

        var askedAt = Milliseconds;
        ThrowIfUntrusted(ask(SchemaSql.For(schema, OwnerSql.Foreign)), askedAt);
    }

    private void ThrowIfUntrusted(string? problem, long askedAt)
    {
        Volatile.Write(ref _provenAt, problem is null ? askedAt : Never);
        if (problem is not null) throw new UnusableServerException(problem.TrimEnd('.'));
    }

    private static long Milliseconds => (long)BootClock.Now.TotalMilliseconds;

    private static async ValueTask<object?> AskAsync(NpgsqlCommand command, bool blocks, CancellationToken stop)
    {
        await using (command.ConfigureAwait(false)) return blocks ? command.ExecuteScalar() : await command.ExecuteScalarAsync(stop).ConfigureAwait(false);
    }
}
