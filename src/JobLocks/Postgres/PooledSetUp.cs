using System.Runtime.CompilerServices;
using Npgsql;

namespace JobLocks.Postgres;

/// <summary>
/// Tells each connection of our small pool once how to plan its statements: once only, since planning them takes longer than doing them, and without
/// compiling them, which takes longer still. Not by options of the connection string: a pooler refuses a client that comes with any. The pool does not reset its connections, which
/// carry nothing else from one statement to the next.
/// </summary>
internal static class PooledSetUp
{
    public const string Sql = "SELECT set_config('plan_cache_mode', 'force_generic_plan', false), set_config('jit', 'off', false)";

    // What the server said of itself is one object for each physical connection, and goes with it.
    private static readonly ConditionalWeakTable<object, object> Done = [];

    /// <summary>Whether this open connection has not been told yet.</summary>
    public static bool IsMissing(NpgsqlConnection connection) => !Done.TryGetValue(connection.PostgresParameters, out _);

    /// <summary>It has been told now.</summary>
    public static void WasDone(NpgsqlConnection connection) => Done.AddOrUpdate(connection.PostgresParameters, Done);
}
