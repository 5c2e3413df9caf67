using System.Runtime.CompilerServices;
using Npgsql;

namespace JobLocks.Postgres.Session;

/// <summary>Remembers which connections of the small pools are set up. Each is set up once, since the pool does not reset connections.</summary>
internal static class PooledSetUp
{
    // The driver keeps the parameters of the server in one object for each physical connection. The entry disappears with that object.
    private static readonly ConditionalWeakTable<object, object> Done = [];

    /// <summary>Whether this open connection is not set up yet.</summary>
    public static bool IsMissing(NpgsqlConnection connection) => !Done.TryGetValue(connection.PostgresParameters, out _);

    /// <summary>Records that this connection is set up.</summary>
    public static void MarkDone(NpgsqlConnection connection) => Done.AddOrUpdate(connection.PostgresParameters, Done);
}
