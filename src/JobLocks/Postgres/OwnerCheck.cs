using System.Diagnostics.CodeAnalysis;
using Npgsql;

namespace JobLocks.Postgres;

/// <summary>Refuses a schema in which a foreign role has objects of ours: they would run with our rights.</summary>
[SuppressMessage("Usage", "VSTHRD103:Call async methods when in an async method", Justification = "The caller says which of the two it needs.")]
internal static class OwnerCheck
{
    /// <param name="connection">After <see cref="ConnectionSetUp"/>.</param>
    /// <param name="options">Which schema, and whose it may be.</param>
    /// <param name="blocks">Whether the caller has no asynchronous way: nothing is awaited then.</param>
    /// <param name="stop">Gives up.</param>
    /// <exception cref="WrongServerException">Names the object, its owner and the cure.</exception>
    public static async ValueTask RunAsync(NpgsqlConnection connection, JobLocksOptions options, bool blocks, CancellationToken stop)
    {
        if (options.Schema is not { } schema) return;

        if (options.SchemaOwner is { } owner)
            await AskAsync(new(OwnerSql.SayOwner, connection) { Parameters = { new NpgsqlParameter<string> { TypedValue = owner } } }, blocks, stop).ConfigureAwait(false);

        if (await AskAsync(new(SchemaSql.For(schema, OwnerSql.Foreign), connection), blocks, stop).ConfigureAwait(false) is string foreign)
            throw new WrongServerException(foreign.TrimEnd('.'));
    }

    private static async ValueTask<object?> AskAsync(NpgsqlCommand command, bool blocks, CancellationToken stop)
    {
        await using (command.ConfigureAwait(false)) return blocks ? command.ExecuteScalar() : await command.ExecuteScalarAsync(stop).ConfigureAwait(false);
    }
}
