namespace JobLocks.Postgres.WaitQueue;

/// <summary>Which runs of the line are woken, and which process tells their stores.</summary>
internal static class WakeSql
{
    /// <summary>
    /// It is the turn of those who may run now under the keys $1, of which $2 more may run than do: of an exclusive lock the first,
    /// if nobody's turn has come yet; of readers all that stand before a writer; of a limit as many as are free. Where $3 is true, $2 does
    /// not take into account those whose turn has come already. Where the first is of a queue with a late run, it is woken in addition. Those for which the
    /// caller has a free worker, by the parameters from $4 on, are for it to tell. The rows are locked, so that two who let go at once wake two and not one
    /// twice.
    /// </summary>
    public static readonly string Wake =
        $"""
        WITH first AS (
                 SELECT h.*, a.free, a.counts_woken
                 FROM   (SELECT * FROM unnest($1::bigint[], $2::int[], $3::bool[]) AS a (key, free, counts_woken) ORDER BY key) AS a
                 CROSS  JOIN LATERAL (
                            SELECT   place, store, queue, key, mode, slots, woken IS NOT NULL AS is_woken
                            FROM     "joblocks".line AS l
                            WHERE    l.key = a.key
                            AND      {WaitQueueSql.Stands}
                            ORDER BY place
                            LIMIT    (SELECT   CASE WHEN mode = 1 THEN 10000 WHEN slots = 1 THEN 1 ELSE slots + a.free END
                                      FROM     "joblocks".line AS l
                                      WHERE    l.key = a.key
                                      AND      {WaitQueueSql.Stands}
                                      ORDER BY place
                                      LIMIT    1)
                            FOR UPDATE) AS h),
             ranked AS (
                 SELECT *,
                        row_number() OVER in_order AS nth,
                        count(*) FILTER (WHERE NOT is_woken) OVER in_order AS nth_that_waits,
                        count(*) FILTER (WHERE is_woken) OVER (PARTITION BY key) AS woken_before,
                        count(*) FILTER (WHERE mode = 0) OVER in_order AS writers_until_here,
                        count(*) FILTER (WHERE slots = 1) OVER in_order AS unlimited_until_here
                 FROM   first
                 WINDOW in_order AS (PARTITION BY key ORDER BY place)),
             candidate AS MATERIALIZED (
                 SELECT place, store, queue
                 FROM   ranked
                 WHERE  NOT is_woken
                 AND    CASE WHEN mode = 1 THEN writers_until_here = 0
                             WHEN slots = 1 THEN nth = 1
                             ELSE unlimited_until_here = 0 AND nth_that_waits <= free - CASE WHEN counts_woken THEN woken_before ELSE 0 END
                        END
                 UNION ALL
                 SELECT late.place, late.store, late.queue
                 FROM   (SELECT key FROM unnest($1::bigint[]) AS k (key) ORDER BY key) AS a
                 CROSS  JOIN LATERAL (
                            SELECT   l.place, l.store, l.queue, l.woken IS NOT NULL AS is_woken, EXISTS ({WaitQueueSql.Late}) AS is_late
                            FROM     "joblocks".line AS l
                            WHERE    l.key = a.key
                            AND      {WaitQueueSql.MayCome}
                            ORDER BY l.place
                            LIMIT    1
                            FOR UPDATE) AS late
                 WHERE  late.is_late
                 AND    NOT late.is_woken),
             {WorkersSql.Ours(4)}
        UPDATE "joblocks".line AS l
        SET    woken = now(), told = l.parked AND l.place IN (SELECT place FROM ours)
        FROM   candidate
        WHERE  l.place = candidate.place
        RETURNING l.place, l.key, l.name, l.store, l.run, l.queue, l.parked, l.told, l.since, extract(epoch FROM now() - l.since)::float8
        """;

    /// <summary>
    /// The turn of the places $1 is over, if it was not: their runs keep their places, and the next ones are let past. A person holds them back, and so
    /// nothing is known of the others in their queues.
    /// </summary>
    public const string EndTurn =
        """
        UPDATE "joblocks".line
        SET    woken = 'epoch'
        WHERE  place = ANY ($1)
        AND    woken > now() - interval '30 s'
        RETURNING key
        """;

    /// <summary>
    /// Says to the processes of another store that the turn of one of its runs has come. A commit with notifications waits for other such commits of the whole
    /// server, so it may wait longer than other statements.
    /// </summary>
    public const string Notify = "SELECT set_config('lock_timeout', '5000', true), pg_notify('joblocks', n) FROM unnest($1::text[]) AS n";

    /// <summary>
    /// Those of the places $1 whose turn has come and that no store has been told of yet, as far as the caller has free workers by the parameters from $2
    /// on: it is for the caller to tell them. Many may hear of a turn, and only one of them gets this answer.
    /// </summary>
    public static readonly string Tell =
        $"""
        WITH candidate AS MATERIALIZED (
                 SELECT place, store, queue
                 FROM   "joblocks".line
                 WHERE  place = ANY ($1)
                 AND    woken IS NOT NULL
                 AND    parked
                 AND    NOT told
                 ORDER  BY key, place
                 FOR    UPDATE),
             {WorkersSql.Ours(2)}
        UPDATE "joblocks".line AS l
        SET    told = true
        FROM   ours
        WHERE  l.place = ours.place
        AND    l.woken IS NOT NULL
        AND    l.parked
        AND    NOT l.told
        RETURNING l.place, l.key, l.name, l.store, l.run, l.queue, l.parked, l.told, l.since, extract(epoch FROM now() - l.since)::float8
        """;

    /// <summary>
    /// The same for the first hundred of all places, by the parameters from $1 on. Says of each whether it has a verdict. No more are locked than there are
    /// workers, so that another process that asks at the same moment finds the others.
    /// </summary>
    public static readonly string TellDeferred =
        $"""
        WITH candidate AS MATERIALIZED (
                 SELECT   l.place, l.store, l.queue
                 FROM     "joblocks".line AS l
                 WHERE    l.store = ANY ($1)
                 AND      l.woken IS NOT NULL
                 AND      l.parked
                 AND      NOT l.told
                 AND      EXISTS (SELECT FROM unnest($1::text[], $2::text[]) AS o (store, queue) WHERE o.store = l.store AND coalesce(o.queue = l.queue, true))
                 ORDER BY l.place
                 LIMIT    least(100, (SELECT sum(n)::bigint FROM (SELECT max(o.n)::bigint AS n FROM unnest($1::text[], $4::int[]) AS o (store, n) GROUP BY o.store) AS s))
                 FOR UPDATE SKIP LOCKED),
             {WorkersSql.Ours(1)}
        UPDATE "joblocks".line AS l
        SET    told = true
        FROM   ours
        WHERE  l.place = ours.place
        RETURNING l.place, l.key, l.name, l.store, l.run, l.queue, l.parked, l.told, l.since, extract(epoch FROM now() - l.since)::float8, l.verdict IS NOT NULL
        """;

    /// <summary>Whether one of the stores $1 is still to be told of a turn.</summary>
    public const string AnyUntold = """SELECT EXISTS (SELECT FROM "joblocks".line WHERE store = ANY ($1) AND woken IS NOT NULL AND parked AND NOT told)""";

    /// <summary>Those of the places $1 whose stores were told and whose runs have not begun.</summary>
    public const string PendingWakes = """SELECT place FROM "joblocks".line WHERE place = ANY ($1) AND told""";
}
