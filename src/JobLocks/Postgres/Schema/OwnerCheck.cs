using System.Diagnostics.CodeAnalysis;
using JobLocks.Locks;
using JobLocks.Postgres.Session;
using JobLocks.Primitives;
using Npgsql;

namespace JobLocks.Postgres.Schema;

/// <summary>Refuses a schema in which a foreign role has objects of ours: they would run with our rights. Thread-safe.</summary>
[SuppressMessage("Usage", "VSTHRD103:Call async methods when in an async method", Justification = "The caller says which of the two it needs.")]
internal sealed class OwnerCheck(JobLocksOptions options)
{
    // The schema watch asks each three seconds. Only a process without a session has the connections of its pools ask.
    private const long ProofLastsMilliseconds = 5000;
    private const long Never = long.MinValue / 2;

    private long _provenAt = Never;

    /// <summary>Asks, unless that was done by this process a moment ago.</summary>
    /// <param name="connection">After <see cref="ConnectionSetUp"/>.</param>
    /// <param name="blocks">Whether the caller has no asynchronous way: nothing is awaited then.</param>
    /// <param name="stop">Gives up.</param>
    /// <exception cref="WrongServerException">Names the object, its owner and the cure.</exception>
    public ValueTask EnsureAsync(NpgsqlConnection connection, bool blocks, CancellationToken stop) =>
        Milliseconds - Volatile.Read(ref _provenAt) < ProofLastsMilliseconds ? ValueTask.CompletedTask : RunAsync(connection, blocks, stop);

    /// <summary>Asks.</summary>
    /// <inheritdoc cref="EnsureAsync"/>
    public async ValueTask RunAsync(NpgsqlConnection connection, bool blocks, CancellationToken stop)
    {
        if (options.Schema is not { } schema) return;

        var askedAt = Milliseconds;
        if (options.SchemaOwner is { } owner)
            await AskAsync(new(OwnerSql.SetOwner, connection) { Parameters = { new NpgsqlParameter<string> { TypedValue = owner } } }, blocks, stop).ConfigureAwait(false);

        ThrowIfUntrusted(await AskAsync(new(SchemaSql.For(schema, OwnerSql.Foreign), connection), blocks, stop).ConfigureAwait(false) as string, askedAt);
    }

    /// <summary>Asks again on a connection of which <see cref="RunAsync"/> has asked before.</summary>
    /// <param name="ask">Runs a statement, and gives its only value.</param>
    /// <exception cref="WrongServerException">Names the object, its owner and the cure.</exception>
    public void RunAgain(Func<string, string?> ask)
    {
        if (options.Schema is not { } schema) return;

        var askedAt = Milliseconds;
        ThrowIfUntrusted(ask(SchemaSql.For(schema, OwnerSql.Foreign)), askedAt);
    }

    private void ThrowIfUntrusted(string? problem, long askedAt)
    {
        Volatile.Write(ref _provenAt, problem is null ? askedAt : Never);
        if (problem is not null) throw new WrongServerException(problem.TrimEnd('.'));
    }

    private static long Milliseconds => (long)BootClock.Now.TotalMilliseconds;

    private static async ValueTask<object?> AskAsync(NpgsqlCommand command, bool blocks, CancellationToken stop)
    {
        await using (command.ConfigureAwait(false)) return blocks ? command.ExecuteScalar() : await command.ExecuteScalarAsync(stop).ConfigureAwait(false);
    }
}
