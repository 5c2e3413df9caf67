using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using Npgsql;

namespace JobLocks.Postgres.WaitQueue;

/// <summary>
/// Writes into the setting "joblocks.served" of a pooled connection which stores this process announces now. A statement then reads the lock table only for
/// the stores of other processes, see <see cref="PresenceSql.IsServed"/>. Thread-safe.
/// </summary>
/// <param name="announced">Returns the ids of the stores that the current lock session announces.</param>
[SuppressMessage("Usage", "VSTHRD103:Call async methods when in an async method", Justification = "The caller says which of the two it needs.")]
internal sealed class ServedSetting(Func<IReadOnlyList<string>> announced)
{
    // What was written last to each physical connection. The driver keeps the parameters of the server in one object for each of them.
    private static readonly ConditionalWeakTable<object, IReadOnlyList<string>> Written = [];

    /// <summary>Writes the setting, if it has changed since it was written to this connection.</summary>
    /// <exception cref="NpgsqlException">The server cannot be reached, or returns an error.</exception>
    public async ValueTask WriteAsync(NpgsqlConnection connection, bool blocks, CancellationToken stop)
    {
        var stores = announced();
        var written = Written.TryGetValue(connection.PostgresParameters, out var last) ? last : [];
        if (stores.SequenceEqual(written, StringComparer.Ordinal)) return;

        var command = new NpgsqlCommand(PresenceSql.SetServed, connection);
        await using (command.ConfigureAwait(false))
        {
            command.Parameters.Add(new NpgsqlParameter<string[]> { TypedValue = [.. stores] });
            if (blocks) command.ExecuteNonQuery();
            else await command.ExecuteNonQueryAsync(stop).ConfigureAwait(false);
        }

        Written.AddOrUpdate(connection.PostgresParameters, stores);
    }
}
