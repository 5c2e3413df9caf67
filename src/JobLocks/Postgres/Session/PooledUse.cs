namespace JobLocks.Postgres.Session;

/// <summary>A small pool of connections, each for its own purpose: what looks never takes a connection from a run that waits.</summary>
/// <param name="Purpose">What its connections are for, as the end of a sentence.</param>
/// <param name="Most">How many there are at most in a process.</param>
/// <param name="ConnectSeconds">How long a connection may take to open, or to become free.</param>
/// <param name="CommandSeconds">How long a statement may take where the connection string sets no limit: the network can be gone.</param>
/// <param name="Settings">What each connection is told once, after <see cref="ConnectionSetUp.ForPool"/>.</param>
internal sealed record PooledUse(string Purpose, int Most, int ConnectSeconds, int CommandSeconds, string Settings)
{
    /// <summary>
    /// For the statements of the wait queue. A table that another session has locked is waited for only briefly: the run is rescheduled, and what a sweep does
    /// is done by a later one.
    /// </summary>
    public static readonly PooledUse Waiting = new("runs that wait", 8, 10, 30, ", pg_catalog.set_config('lock_timeout', '1000', false)");

    /// <summary>
    /// For the pages and all others who look. A table that is locked is waited for only briefly, and no reading lasts long: the next viewer waits for
    /// the connection.
    /// </summary>
    public static readonly PooledUse Looking = new(
        "looking at locks", 2, 5, 10, ", pg_catalog.set_config('statement_timeout', '5000', false), pg_catalog.set_config('lock_timeout', '250', false)");
}
