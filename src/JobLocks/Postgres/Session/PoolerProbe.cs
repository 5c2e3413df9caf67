using JobLocks.Locks;
using Npgsql;

namespace JobLocks.Postgres.Session;

/// <summary>
/// Finds out whether a pooler lends its server connections per transaction: then other clients use the same backend. A pass is evidence and not
/// proof, because an idle pooler may lend the same backend again. So each later answer is checked for its backend as well.
/// </summary>
internal static class PoolerProbe
{
    private const int Rounds = 3;
    private const string AskBackend = "SELECT pg_catalog.pg_backend_pid()";

    // PgBouncer has one error code for all of its refusals, and its texts are not translated.
    private const string StatementMode = "statement pooling";

    /// <param name="connection">The connection that is to be used. It is not set up yet, so that other clients of the pooler inherit no settings.</param>
    /// <param name="other">Another connection to the same address, not set up either.</param>
    /// <exception cref="UnusableServerException">A pooler changes the backend.</exception>
    public static void Check(NpgsqlConnection connection, NpgsqlConnection other)
    {
        try
        {
            var first = BackendOf(connection);
            for (var round = 0; round < Rounds; round++)
            {
                // A transaction keeps its backend. If the other connection gets the backend of the first one, the pooler does not reserve it.
                using var transaction = other.BeginTransaction();
                var otherBackend = BackendOf(other);
                var backend = BackendOf(connection);
                transaction.Rollback();
                if (otherBackend == backend || backend != first) throw UnusableServerException.PoolerChangedBackend(first, otherBackend == first ? backend : otherBackend);
            }
        }
        catch (PostgresException refused) when (refused.MessageText.Contains(StatementMode, StringComparison.Ordinal))
        {
            throw UnusableServerException.PoolerRefusesTransactions();
        }
    }

    private static int BackendOf(NpgsqlConnection connection)
    {
        using var command = new NpgsqlCommand(AskBackend, connection);
        return (int)command.ExecuteScalar()!;
    }
}
