using System.Runtime.CompilerServices;
using Npgsql;

namespace JobLocks.Postgres.Session;

/// <summary>Remembers which connections of our small pool were set up: once for each, since the pool does not reset them.</summary>
internal static class PooledSetUp
{
    // What the server said of itself is one object for each physical connection, and goes with it.
    private static readonly ConditionalWeakTable<object, object> Done = [];

    /// <summary>Whether this open connection was not set up yet.</summary>
    public static bool IsMissing(NpgsqlConnection connection) => !Done.TryGetValue(connection.PostgresParameters, out _);

    /// <summary>It is set up now.</summary>
    public static void WasDone(NpgsqlConnection connection) => Done.AddOrUpdate(connection.PostgresParameters, Done);
}
