namespace JobLocks.Postgres.WaitQueue;

/// <summary>Statements that enqueue, park, restore and remove the entries of the wait queue. The columns are described at <see cref="WaitQueueSql"/>.</summary>
internal static class EntrySql
{
    /// <summary>
    /// Finds the entry of the run $2 of the store $1, and how many seconds ago the run was woken: null if it is late, because other runs may
    /// have held its lock since; and whether it was called. A run whose time limit is over is not reported as woken, but as overdue.
    /// </summary>
    public const string Find =
        """
        SELECT entry, key, woken IS NOT NULL AND coalesce(until > now(), true), coalesce(until <= now(), false), verdict, since,
               CASE WHEN woken > now() - interval '30 s' AND coalesce(until > now(), true) THEN extract(epoch FROM now() - woken)::float8 END,
               claimed AND woken IS NULL
        FROM   "joblocks".wait_queue
        WHERE  store = $1
        AND    run = $2
        """;

    /// <summary>
    /// Acquires the counting lock of the key $1 until the end of the transaction: one process at a time counts the waiters of a key. "JLln" in ASCII.
    /// Other processes wait for it for at most two seconds. The server ends a session that is idle in this transaction for five seconds.
    /// </summary>
    public const string LockForCounting =
        """
        SELECT set_config('lock_timeout', '2000', true),
               set_config('idle_in_transaction_session_timeout', '5000', true),
               pg_advisory_xact_lock(1246522478, ($1 & 2147483647)::int)
        """;

    /// <summary>The time-outs of <see cref="LockForCounting"/>, to be set before <see cref="LockTableForCounting"/>.</summary>
    public const string CountTimeouts =
        "SELECT set_config('lock_timeout', '2000', true), set_config('idle_in_transaction_session_timeout', '5000', true)";

    /// <summary>
    /// The counting lock of all keys, used where another program holds the advisory lock of one key. It locks a table that only JobLocks may change. While that
    /// program releases its lock, one process may hold the advisory lock and another one the table lock. The queue may then be one run longer than its limit.
    /// </summary>
    public const string LockTableForCounting = """LOCK TABLE "joblocks".declared_limits IN SHARE UPDATE EXCLUSIVE MODE""";

    /// <summary>
    /// A run has reached a worker, so its scheduler queue has a worker. Marks the late runs of that queue, so that they no longer make its other runs count as
    /// late: see <see cref="WaitQueueSql"/>. Needs a common table expression "arrived" with the address of the run.
    /// </summary>
    private const string MarkLateRuns =
        """
        late AS (
                 SELECT w.entry
                 FROM   "joblocks".wait_queue AS w
                 JOIN   arrived AS l ON w.store = l.store AND w.queue = l.queue
                 WHERE  w.woken > 'epoch'
                 AND    w.woken < now() - interval '30 s'
                 AND    w.verdict IS NULL
                 AND    w.run <> l.run
                 FOR    UPDATE OF w SKIP LOCKED),
             marked AS (
                 UPDATE "joblocks".wait_queue
                 SET    woken = '1900-01-01 00:00+00'
                 WHERE  entry IN (SELECT entry FROM late))
        """;

    /// <summary>
    /// Enqueues the run $2 of the store $1 for the key $4, if fewer than $9 runs wait there. A run that already has an entry, because it was
    /// woken in vain or now waits for another of its locks, keeps its entry number.
    /// </summary>
    /// <remarks>
    /// <list type="bullet">
    /// <item><description>$3: the scheduler queue of a new entry. The caller may not know the queue of an existing entry, which stays.</description></item>
    /// <item><description>$8: the longest wait, in milliseconds; null for no limit.</description></item>
    /// <item><description>$9: how many runs may wait for the key.</description></item>
    /// <item><description>
    /// $11: whether a parked entry of this name belongs to an earlier run, which was deleted. The run then does not get its times and its verdict.
    /// </description></item>
    /// <item><description>Result: the number of runs before it, its earlier key, and its entry. Null where it has none.</description></item>
    /// </list>
    /// </remarks>
    public const string Enqueue =
        $"""
        WITH existing AS (SELECT entry, key, queue FROM "joblocks".wait_queue WHERE store = $1 AND run = $2),
             arrived AS (SELECT $1::text AS store, $2::text AS run, coalesce((SELECT queue FROM existing), $3::text) AS queue),
             {MarkLateRuns},
             ahead AS (
                 SELECT count(*)::int AS n
                 FROM   (SELECT 1
                         FROM   "joblocks".wait_queue AS l
                         WHERE  l.key = $4
                         AND    l.entry < coalesce((SELECT entry FROM existing), 9223372036854775807)
                         AND    {WaitQueueSql.Counts}
                         LIMIT  $9) AS counted),
             enqueued AS (
                 INSERT INTO "joblocks".wait_queue AS l (store, run, queue, key, name, mode, slots, until, job)
                 SELECT $1, $2, $3, $4, $5, $6, $7, now() + $8 * interval '1 ms', $10
                 WHERE  EXISTS (SELECT FROM existing) OR (SELECT n FROM ahead) < $9
                 ON CONFLICT (store, run) DO UPDATE
                 SET    key = excluded.key, name = excluded.name, mode = excluded.mode, slots = excluded.slots,
                        until = CASE WHEN excluded.until IS NOT NULL THEN coalesce(CASE WHEN NOT ($11 AND l.parked) THEN l.until END, excluded.until) END,
                        since = CASE WHEN $11 AND l.parked THEN excluded.since ELSE l.since END,
                        verdict = CASE WHEN NOT ($11 AND l.parked) THEN l.verdict END,
                        woken = NULL, claimed = false, parked = false
                 RETURNING l.entry, l.key, coalesce(l.until <= now(), false), l.verdict, l.since, l.queue, extract(epoch FROM l.until - l.since)::float8)
        SELECT (SELECT n FROM ahead), (SELECT key FROM existing), enqueued.*
        FROM   (SELECT 1) AS always
        LEFT   JOIN enqueued ON true
        """;

    /// <summary>Whether a run was woken so recently that it may be on its way to its lock.</summary>
    private const string WasWokenJustNow = "coalesce(woken > now() - interval '5 s', false)";

    /// <summary>The first $2 waiters of the key $1 that precede later ones, and for each whether it was woken just now.</summary>
    public const string FirstWaiters =
        $"""
        SELECT   entry, key, name, store, run, queue, parked, false, since, extract(epoch FROM now() - since)::float8, {WasWokenJustNow}
        FROM     "joblocks".wait_queue AS l
        WHERE    key = $1
        AND      {WaitQueueSql.Precedes}
        ORDER BY entry
        LIMIT    $2
        """;

    /// <summary>The first $2 waiters of the key $1 that count, and the oldest of those that is not woken: <see cref="ReplaceOldest"/> has that one skipped.</summary>
    public const string FirstCountedWaiters =
        $"""
        SELECT   entry, key, name, store, run, queue, parked, false, since, extract(epoch FROM now() - since)::float8, {WasWokenJustNow}
        FROM     "joblocks".wait_queue
        WHERE    entry IN (
                     (SELECT entry FROM "joblocks".wait_queue AS l WHERE key = $1 AND {WaitQueueSql.Counts} ORDER BY entry LIMIT $2)
                     UNION ALL
                     (SELECT entry FROM "joblocks".wait_queue AS l WHERE key = $1 AND woken IS NULL AND {WaitQueueSql.Counts} ORDER BY entry LIMIT 1))
        ORDER BY entry
        """;

    /// <summary>
    /// Gives the oldest waiter of the key $1 that counts and is not woken the verdict $4, and wakes it to be skipped. Leaves out the run $3 of the store $2.
    /// </summary>
    public const string ReplaceOldest =
        $"""
        UPDATE "joblocks".wait_queue
        SET    verdict = $4, woken = now()
        WHERE  entry = (
                   SELECT   entry
                   FROM     "joblocks".wait_queue AS l
                   WHERE    key = $1
                   AND      woken IS NULL
                   AND      {WaitQueueSql.Counts}
                   AND      NOT (store = $2 AND run = $3)
                   ORDER BY entry
                   LIMIT    1
                   FOR UPDATE)
        RETURNING entry, store, parked
        """;

    /// <summary>
    /// Marks the run of the entry $1 as parked. Returns whether it was woken before. If the entry was removed while the store parked the run, it is inserted
    /// again.
    /// </summary>
    public const string ParkOrRestore =
        """
        INSERT INTO "joblocks".wait_queue AS l (entry, store, run, queue, key, name, mode, slots, since, until, job, parked)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9 + $10 * interval '1 ms', $11, true)
        ON CONFLICT (store, run) DO UPDATE SET parked = true
        RETURNING l.woken IS NOT NULL
        """;

    /// <summary>
    /// Compares expected entries of the store $1 (number $2, run $3, key $4) with the table. Returns the numbers whose entry is missing or has another key,
    /// and whether the run has any entry.
    /// </summary>
    public const string WithoutEntry =
        """
        SELECT    p.entry, l.entry IS NOT NULL OR EXISTS (SELECT FROM "joblocks".wait_queue AS o WHERE o.store = $1 AND o.run = p.run)
        FROM      unnest($2::bigint[], $3::text[], $4::bigint[]) AS p (entry, run, key)
        LEFT JOIN "joblocks".wait_queue AS l ON l.entry = p.entry
        WHERE     l.entry IS NULL
        OR        l.key <> p.key
        """;

    /// <summary>
    /// Inserts the entries $2 for runs of the store $1 again. Skips runs that have another entry by now. All arrays have the same order. Returns the numbers
    /// of the inserted entries.
    /// </summary>
    public const string Restore =
        """
        WITH restored AS (
                 INSERT INTO "joblocks".wait_queue (store, entry, run, queue, key, name, mode, slots, since, until, job, parked)
                 SELECT $1, r.entry, r.run, r.queue, r.key, r.name, r.mode, r.slots, r.since, r.since + r.waits * interval '1 ms', r.job, true
                 FROM   unnest($2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::smallint[], $8::integer[], $9::timestamptz[], $10::float8[], $11::text[])
                        AS r (entry, run, queue, key, name, mode, slots, since, waits, job)
                 ON CONFLICT DO NOTHING
                 RETURNING entry)
        SELECT entry FROM restored
        """;

    /// <summary>Marks the run of the entry $1 as parked: its store has parked it, but the process that did so has not recorded that.</summary>
    public const string MarkParked = """UPDATE "joblocks".wait_queue SET parked = true WHERE entry = $1""";

    /// <summary>Removes the entry $1, of a run that has reached a worker.</summary>
    public const string Dequeue =
        $"""
        WITH arrived AS (DELETE FROM "joblocks".wait_queue WHERE entry = $1 RETURNING store, run, queue),
             {MarkLateRuns}
        SELECT FROM arrived
        """;

    /// <summary>Removes the entries $1, of runs that will never start.</summary>
    public const string Remove = """DELETE FROM "joblocks".wait_queue WHERE entry = ANY ($1)""";

    /// <summary>Removes the entries of the runs $2 of the store $1, which have started. An entry that is not parked belongs to a run that waits again.</summary>
    public const string RemoveStarted = """DELETE FROM "joblocks".wait_queue WHERE store = $1 AND run = ANY ($2) AND parked""";

    /// <summary>
    /// Removes those of the entries $1 that are parked and were not woken in the last seconds: their runs have started, as their store says, and have not
    /// removed them.
    /// </summary>
    public const string RemoveLeftovers =
        """
        DELETE FROM "joblocks".wait_queue
        WHERE  entry = ANY ($1)
        AND    parked
        AND    (woken IS NULL OR woken < now() - interval '4 s')
        """;

    /// <summary>Those of the runs $2 that have an entry under one of the ids $1 of their store.</summary>
    public const string RunsWithEntry = """SELECT run FROM "joblocks".wait_queue WHERE store = ANY ($1) AND run = ANY ($2)""";
}
