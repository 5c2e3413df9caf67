namespace JobLocks.Postgres.Session;

/// <summary>
/// The statements of <see cref="ExclusionProof"/>. Each row has the name of a function, whether the function must grant the lock, whether it did, and the
/// backend. All functions are qualified, and the rows are evaluated in their order.
/// </summary>
/// <remarks>
/// $1 and $2 are the bigint keys that the first connection locks, $1 exclusively and $2 shared. $3 is <see cref="Keys.InternalKeys.Proof"/>, the upper half of
/// both keys and the first number of the two-part keys. $4 and $5 are the lower halves of both keys and the second numbers of the two-part keys. $6 is the
/// backend of the first connection.
/// </remarks>
internal static class ExclusionSql
{
    /// <summary>The name in the row that does not call a function: whether pg_locks shows the locks of the first connection.</summary>
    public const string LockView = "pg_locks";

    /// <summary>The first connection acquires the locks.</summary>
    public const string Acquire =
        $"""
        {Head}
                     ('pg_try_advisory_lock(bigint)', true, pg_catalog.pg_try_advisory_lock($1)),
                     ('pg_try_advisory_lock_shared(bigint)', true, pg_catalog.pg_try_advisory_lock_shared($2)),
                     ('pg_try_advisory_lock(int, int)', true, pg_catalog.pg_try_advisory_lock($3, $4)),
                     ('pg_try_advisory_lock_shared(int, int)', true, pg_catalog.pg_try_advisory_lock_shared($3, $5)),
                     ('{LockView}', true, {AreShown})
        {Tail}
        """;

    /// <summary>
    /// The second connection sees the locks, is refused, and shares what is shared. It releases at once what it is granted: a pooler can give its backend to
    /// another client.
    /// </summary>
    public const string Contend =
        $"""
        {Head}
                     ('{LockView}', true, {AreShown}),
                     ('pg_try_advisory_lock(bigint)', false, CASE WHEN pg_catalog.pg_try_advisory_lock($1) THEN pg_catalog.pg_advisory_unlock($1) IS NOT NULL ELSE false END),
                     ('pg_try_advisory_lock(bigint)', false, CASE WHEN pg_catalog.pg_try_advisory_lock($2) THEN pg_catalog.pg_advisory_unlock($2) IS NOT NULL ELSE false END),
                     ('pg_try_advisory_lock_shared(bigint)', false, CASE WHEN pg_catalog.pg_try_advisory_lock_shared($1) THEN pg_catalog.pg_advisory_unlock_shared($1) IS NOT NULL ELSE false END),
                     ('pg_try_advisory_xact_lock(bigint)', false, pg_catalog.pg_try_advisory_xact_lock($1)),
                     ('pg_try_advisory_xact_lock(bigint)', false, pg_catalog.pg_try_advisory_xact_lock($2)),
                     ('pg_try_advisory_xact_lock_shared(bigint)', false, pg_catalog.pg_try_advisory_xact_lock_shared($1)),
                     ('pg_try_advisory_lock(int, int)', false, CASE WHEN pg_catalog.pg_try_advisory_lock($3, $4) THEN pg_catalog.pg_advisory_unlock($3, $4) IS NOT NULL ELSE false END),
                     ('pg_try_advisory_lock(int, int)', false, CASE WHEN pg_catalog.pg_try_advisory_lock($3, $5) THEN pg_catalog.pg_advisory_unlock($3, $5) IS NOT NULL ELSE false END),
                     ('pg_try_advisory_lock_shared(int, int)', false, CASE WHEN pg_catalog.pg_try_advisory_lock_shared($3, $4) THEN pg_catalog.pg_advisory_unlock_shared($3, $4) IS NOT NULL ELSE false END),
                     ('pg_try_advisory_xact_lock(int, int)', false, pg_catalog.pg_try_advisory_xact_lock($3, $4)),
                     ('pg_try_advisory_xact_lock(int, int)', false, pg_catalog.pg_try_advisory_xact_lock($3, $5)),
                     ('pg_try_advisory_xact_lock_shared(int, int)', false, pg_catalog.pg_try_advisory_xact_lock_shared($3, $4)),
                     ('pg_try_advisory_lock_shared(bigint)', true, CASE WHEN pg_catalog.pg_try_advisory_lock_shared($2) THEN pg_catalog.pg_advisory_unlock_shared($2) IS NOT NULL ELSE false END),
                     ('pg_try_advisory_xact_lock_shared(bigint)', true, pg_catalog.pg_try_advisory_xact_lock_shared($2)),
                     ('pg_try_advisory_lock_shared(int, int)', true, CASE WHEN pg_catalog.pg_try_advisory_lock_shared($3, $5) THEN pg_catalog.pg_advisory_unlock_shared($3, $5) IS NOT NULL ELSE false END),
                     ('pg_try_advisory_xact_lock_shared(int, int)', true, pg_catalog.pg_try_advisory_xact_lock_shared($3, $5))
        {Tail}
        """;

    /// <summary>The first connection releases the locks.</summary>
    public const string Release =
        $"""
        {Head}
                     ('pg_advisory_unlock(bigint)', true, pg_catalog.pg_advisory_unlock($1)),
                     ('pg_advisory_unlock_shared(bigint)', true, pg_catalog.pg_advisory_unlock_shared($2)),
                     ('pg_advisory_unlock(int, int)', true, pg_catalog.pg_advisory_unlock($3, $4)),
                     ('pg_advisory_unlock_shared(int, int)', true, pg_catalog.pg_advisory_unlock_shared($3, $5))
        {Tail}
        """;

    /// <summary>The second connection acquires each of the locks exclusively and releases it. The rows have the names of the functions that released them.</summary>
    public const string AcquireReleased =
        $"""
        {Head}
                     ('pg_advisory_unlock(bigint)', true, CASE WHEN pg_catalog.pg_try_advisory_lock($1) THEN pg_catalog.pg_advisory_unlock($1) ELSE false END),
                     ('pg_advisory_unlock_shared(bigint)', true, CASE WHEN pg_catalog.pg_try_advisory_lock($2) THEN pg_catalog.pg_advisory_unlock($2) ELSE false END),
                     ('pg_advisory_unlock(int, int)', true, CASE WHEN pg_catalog.pg_try_advisory_lock($3, $4) THEN pg_catalog.pg_advisory_unlock($3, $4) ELSE false END),
                     ('pg_advisory_unlock_shared(int, int)', true, CASE WHEN pg_catalog.pg_try_advisory_lock($3, $5) THEN pg_catalog.pg_advisory_unlock($3, $5) ELSE false END)
        {Tail}
        """;

    private const string Head =
        """
        SELECT v.name, v.must_grant, v.is_granted, pg_catalog.pg_backend_pid()
        FROM   (VALUES
        """;

    private const string Tail = "       ) AS v (name, must_grant, is_granted)";

    /// <summary>The session reads its holders and its wait queues from the same columns.</summary>
    private const string AreShown =
        """
        (SELECT pg_catalog.count(*) = 4
                              FROM   pg_catalog.pg_locks AS l
                              WHERE  l.locktype = 'advisory'
                              AND    l.granted
                              AND    l.pid = $6
                              AND    l.database = (SELECT a.datid FROM pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()) AS a)
                              AND    l.classid::bigint = $3
                              AND    l.objsubid IN (1, 2)
                              AND    (l.objid::bigint = $4 AND l.mode = 'ExclusiveLock' OR l.objid::bigint = $5 AND l.mode = 'ShareLock'))
        """;
}
