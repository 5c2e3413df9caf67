namespace JobLocks.Postgres.WaitQueue;

/// <summary>
/// Statements that wake runs, and that decide which process delivers a wake to the job store. The columns are described at <see cref="WaitQueueSql"/>.
/// </summary>
internal static class WakeSql
{
    /// <summary>
    /// Wakes the runs that can run now under the keys $1, where $2 more runs may run. Of an exclusive lock: the first run, unless it was woken before. Of a
    /// shared lock: all readers before the first writer. Of a limited lock: as many runs as slots are free. Where $3 is true, runs that were woken before are
    /// subtracted from $2. If the first entry is bypassed because its scheduler queue has a late run, it is woken too: that queue may have a worker by now, and a
    /// start of the run shows it. A run that was called is on its way already: its wake needs no delivery. The caller claims the wakes for which it has a free worker, by the parameters from $4 on. The rows are locked: two processes that
    /// release at the same time wake two runs, and not one run twice.
    /// </summary>
    public static readonly string Wake =
        $"""
        WITH first AS (
                 SELECT h.*, a.free, a.counts_woken
                 FROM   (SELECT * FROM unnest($1::bigint[], $2::int[], $3::bool[]) AS a (key, free, counts_woken) ORDER BY key) AS a
                 CROSS  JOIN LATERAL (
                            SELECT   entry, store, queue, key, mode, slots, claimed, woken IS NOT NULL AS is_woken
                            FROM     "joblocks".wait_queue AS l
                            WHERE    l.key = a.key
                            AND      {WaitQueueSql.Precedes}
                            ORDER BY entry
                            LIMIT    (SELECT   CASE WHEN mode = 1 THEN 10000 WHEN slots = 1 THEN 1 ELSE slots + a.free END
                                      FROM     "joblocks".wait_queue AS l
                                      WHERE    l.key = a.key
                                      AND      {WaitQueueSql.Precedes}
                                      ORDER BY entry
                                      LIMIT    1)
                            FOR UPDATE) AS h),
             ranked AS (
                 SELECT *,
                        row_number() OVER in_order AS rank,
                        count(*) FILTER (WHERE NOT is_woken) OVER in_order AS rank_of_waiting,
                        count(*) FILTER (WHERE is_woken) OVER (PARTITION BY key) AS woken_before,
                        count(*) FILTER (WHERE mode = 0) OVER in_order AS writers_until_here,
                        count(*) FILTER (WHERE slots = 1) OVER in_order AS unlimited_until_here
                 FROM   first
                 WINDOW in_order AS (PARTITION BY key ORDER BY entry)),
             candidate AS MATERIALIZED (
                 SELECT entry, store, queue, claimed AS was_called
                 FROM   ranked
                 WHERE  NOT is_woken
                 AND    CASE WHEN mode = 1 THEN writers_until_here = 0
                             WHEN slots = 1 THEN rank = 1
                             ELSE unlimited_until_here = 0 AND rank_of_waiting <= free - CASE WHEN counts_woken THEN woken_before ELSE 0 END
                        END
                 UNION ALL
                 SELECT bypassed.entry, bypassed.store, bypassed.queue, bypassed.claimed
                 FROM   (SELECT key FROM unnest($1::bigint[]) AS k (key) ORDER BY key) AS a
                 CROSS  JOIN LATERAL (
                            SELECT   l.entry, l.store, l.queue, l.claimed, l.woken IS NOT NULL AS is_woken, EXISTS ({WaitQueueSql.LateRunOfQueue}) AS queue_has_late_run
                            FROM     "joblocks".wait_queue AS l
                            WHERE    l.key = a.key
                            AND      {WaitQueueSql.CanStart}
                            ORDER BY l.entry
                            LIMIT    1
                            FOR UPDATE) AS bypassed
                 WHERE  bypassed.queue_has_late_run
                 AND    NOT bypassed.is_woken),
             {WorkersSql.ClaimableRows(4)}
        UPDATE "joblocks".wait_queue AS l
        SET    woken = now(), claimed = l.parked AND (was_called OR l.entry IN (SELECT entry FROM claimable))
        FROM   candidate
        WHERE  l.entry = candidate.entry
        RETURNING l.entry, l.key, l.name, l.store, l.run, l.queue, l.parked, l.claimed, l.since, extract(epoch FROM now() - l.since)::float8, was_called
        """;

    /// <summary>
    /// Calls the first run of each of the keys $1, if it is parked and not woken: claims its start in its store, by the parameters from $2 on, which contain
    /// only stores with room for a run that waits in its worker. The run is not woken by this: it keeps its place, and bypasses no other run.
    /// </summary>
    public static readonly string Call =
        $"""
        WITH candidate AS MATERIALIZED (
                 SELECT h.entry, h.store, h.queue
                 FROM   (SELECT key FROM unnest($1::bigint[]) AS k (key) ORDER BY key) AS a
                 CROSS  JOIN LATERAL (
                            SELECT   entry, store, queue, woken IS NULL AND parked AND NOT claimed AS is_callable
                            FROM     "joblocks".wait_queue AS l
                            WHERE    l.key = a.key
                            AND      {WaitQueueSql.Precedes}
                            ORDER BY entry
                            LIMIT    1
                            FOR UPDATE SKIP LOCKED) AS h
                 WHERE  h.is_callable),
             {WorkersSql.ClaimableRows(2)}
        UPDATE "joblocks".wait_queue AS l
        SET    claimed = true
        FROM   claimable
        WHERE  l.entry = claimable.entry
        RETURNING l.entry, l.key, l.name, l.store, l.run, l.queue, l.parked, l.claimed, l.since, extract(epoch FROM now() - l.since)::float8
        """;

    /// <summary>Takes back the calls of the entries $1: their runs did not start. Returns those that were woken since: their wakes are not delivered.</summary>
    public const string TakeCallsBack =
        """
        WITH returned AS (
            UPDATE "joblocks".wait_queue SET claimed = false WHERE entry = ANY ($1) AND parked RETURNING entry, woken)
        SELECT entry FROM returned WHERE woken IS NOT NULL
        """;

    /// <summary>
    /// Marks the runs of the entries $1 as paused by hand, if their wake has not expired: they keep their entries, and the next runs bypass them. They
    /// do not count as late, since they do not show whether their scheduler queues have a worker. Returns their keys.
    /// </summary>
    public const string MarkPaused =
        """
        UPDATE "joblocks".wait_queue
        SET    woken = 'epoch'
        WHERE  entry = ANY ($1)
        AND    woken > now() - interval '30 s'
        RETURNING key
        """;

    /// <summary>
    /// Sends the notifications $1. Each contains an entry number and the store: the run was woken, and its wake is not delivered yet. A commit with
    /// notifications waits for all other such commits of the server, so it may wait for longer than other statements.
    /// </summary>
    public const string Notify = "SELECT set_config('lock_timeout', '5000', true), pg_notify('joblocks', n) FROM unnest($1::text[]) AS n";

    /// <summary>
    /// Claims those of the entries $1 that are woken, parked and not claimed yet, as far as the caller has free workers by the parameters from $2 on. The
    /// caller must deliver them. Many processes may be notified of one wake, and only one of them claims it.
    /// </summary>
    public static readonly string ClaimWakes =
        $"""
        WITH candidate AS MATERIALIZED (
                 SELECT entry, store, queue
                 FROM   "joblocks".wait_queue
                 WHERE  entry = ANY ($1)
                 AND    woken IS NOT NULL
                 AND    parked
                 AND    NOT claimed
                 ORDER  BY key, entry
                 FOR    UPDATE),
             {WorkersSql.ClaimableRows(2)}
        UPDATE "joblocks".wait_queue AS l
        SET    claimed = true
        FROM   claimable
        WHERE  l.entry = claimable.entry
        AND    l.woken IS NOT NULL
        AND    l.parked
        AND    NOT l.claimed
        RETURNING l.entry, l.key, l.name, l.store, l.run, l.queue, l.parked, l.claimed, l.since, extract(epoch FROM now() - l.since)::float8
        """;

    /// <summary>
    /// Claims the first hundred wakes that are not claimed, by the parameters from $1 on. Returns for each whether it has a verdict, and how many seconds ago the run was
    /// woken: null if it is late. Locks no more rows than
    /// there are free workers, so that another process that claims at the same moment finds the others.
    /// </summary>
    public static readonly string ClaimDeferredWakes =
        $"""
        WITH candidate AS MATERIALIZED (
                 SELECT   l.entry, l.store, l.queue
                 FROM     "joblocks".wait_queue AS l
                 WHERE    l.store = ANY ($1)
                 AND      l.woken IS NOT NULL
                 AND      l.parked
                 AND      NOT l.claimed
                 AND      EXISTS (SELECT FROM unnest($1::text[], $2::text[]) AS o (store, queue) WHERE o.store = l.store AND coalesce(o.queue = l.queue, true))
                 ORDER BY l.entry
                 LIMIT    least(100, (SELECT sum(n)::bigint FROM (SELECT max(o.n)::bigint AS n FROM unnest($1::text[], $4::int[]) AS o (store, n) GROUP BY o.store) AS s))
                 FOR UPDATE SKIP LOCKED),
             {WorkersSql.ClaimableRows(1)}
        UPDATE "joblocks".wait_queue AS l
        SET    claimed = true
        FROM   claimable
        WHERE  l.entry = claimable.entry
        RETURNING l.entry, l.key, l.name, l.store, l.run, l.queue, l.parked, l.claimed, l.since, extract(epoch FROM now() - l.since)::float8, l.verdict IS NOT NULL,
                  CASE WHEN l.woken > now() - interval '30 s' THEN extract(epoch FROM now() - l.woken)::float8 END
        """;

    /// <summary>Whether a wake of one of the stores $1 is not claimed yet.</summary>
    public const string AnyUndelivered = """SELECT EXISTS (SELECT FROM "joblocks".wait_queue WHERE store = ANY ($1) AND woken IS NOT NULL AND parked AND NOT claimed)""";

    /// <summary>Those of the entries $1 whose wake is claimed and whose run has not started.</summary>
    public const string PendingWakes = """SELECT entry FROM "joblocks".wait_queue WHERE entry = ANY ($1) AND claimed""";
}
