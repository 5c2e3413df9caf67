using JobLocks.Locks;
using Npgsql;

namespace JobLocks.Postgres.Session;

/// <summary>
/// Finds out whether a pooler lends its connections per transaction: then a backend answers that is not ours alone. A pass is evidence,
/// not proof, since an idle pooler may lend the same one again; so each later answer is checked for its backend as well.
/// </summary>
internal static class PoolerProbe
{
    private const int Rounds = 3;
    private const string AskBackend = "SELECT pg_backend_pid()";

    /// <param name="connection">The connection that is to hold locks.</param>
    /// <param name="connect">Opens one more on the same way.</param>
    /// <exception cref="WrongServerException">It does.</exception>
    public static void Check(NpgsqlConnection connection, Func<NpgsqlConnection> connect)
    {
        var first = BackendOf(connection);
        for (var round = 0; round < Rounds; round++)
        {
            // A transaction keeps its backend: where it got the one that we had just used, that was not ours.
            using var other = connect();
            using var transaction = other.BeginTransaction();
            var otherBackend = BackendOf(other);
            var backend = BackendOf(connection);
            transaction.Rollback();
            if (otherBackend == backend || backend != first) throw WrongServerException.PoolerChangedBackend(first, otherBackend == first ? backend : otherBackend);
        }
    }

    private static int BackendOf(NpgsqlConnection connection)
    {
        using var command = new NpgsqlCommand(AskBackend, connection);
        return (int)command.ExecuteScalar()!;
    }
}
