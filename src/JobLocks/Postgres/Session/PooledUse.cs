namespace JobLocks.Postgres.Session;

/// <summary>A purpose with a small pool of connections of its own: inspection never uses a connection that a waiting run needs.</summary>
/// <param name="Purpose">The purpose, as the end of a sentence.</param>
/// <param name="Most">The maximum number of connections in a process.</param>
/// <param name="ConnectSeconds">How many seconds a connection can take to open, or to become free.</param>
/// <param name="CommandSeconds">How many seconds a statement can take if the connection string sets no limit: the network may be down.</param>
/// <param name="Settings">Settings of each connection, set once after <see cref="ConnectionSetUp.ForPool"/>.</param>
internal sealed record PooledUse(string Purpose, int Most, int ConnectSeconds, int CommandSeconds, string Settings)
{
    /// <summary>
    /// For the statements of the wait queue. They wait for a table lock for at most 1 second: after that the run is rescheduled, or a later sweep
    /// does the work.
    /// </summary>
    public static readonly PooledUse WaitQueue = new("runs that wait", 8, 10, 30, ", pg_catalog.set_config('lock_timeout', '1000', false)");

    /// <summary>
    /// For dashboards and other readers. They wait for a table lock for at most 250 milliseconds, and no statement takes more than 5 seconds, because
    /// the next reader waits for the connection.
    /// </summary>
    public static readonly PooledUse Inspection = new(
        "looking at locks", 2, 5, 10, ", pg_catalog.set_config('statement_timeout', '5000', false), pg_catalog.set_config('lock_timeout', '250', false)");
}
