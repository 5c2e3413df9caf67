namespace JobLocks.Line;

/// <summary>Which runs of the line are woken, and which process tells their stores.</summary>
internal static class WakeSql
{
    /// <summary>
    /// It is the turn of those who may run now under the keys $1, of which $2 more may run than do: of an exclusive lock the first,
    /// if nobody's turn has come yet; of readers all that stand before a writer; of a limit as many as are free. Where $3 is true, $2 does
    /// not take into account those whose turn has come already. Of a queue in which one did not come in time, one more is tried beside them. Those of the queues $5 of the stores $4 are for the caller to tell. The rows are locked, so
    /// that two who let go at once wake two and not one twice.
    /// </summary>
    public const string Wake =
        $"""
        WITH first AS (
                 SELECT h.*, a.free, a.counts_woken
                 FROM   (SELECT * FROM unnest($1::bigint[], $2::int[], $3::bool[]) AS a (key, free, counts_woken) ORDER BY key) AS a
                 CROSS  JOIN LATERAL (
                            SELECT   place, key, mode, slots, woken IS NOT NULL AS is_woken
                            FROM     "joblocks".line AS l
                            WHERE    l.key = a.key
                            AND      {LineSql.Stands}
                            ORDER BY place
                            LIMIT    (SELECT   CASE WHEN mode = 1 THEN 10000 WHEN slots = 1 THEN 1 ELSE slots + a.free END
                                      FROM     "joblocks".line AS l
                                      WHERE    l.key = a.key
                                      AND      {LineSql.Stands}
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
             chosen AS (
                 SELECT place
                 FROM   ranked
                 WHERE  NOT is_woken
                 AND    CASE WHEN mode = 1 THEN writers_until_here = 0
                             WHEN slots = 1 THEN nth = 1
                             ELSE unlimited_until_here = 0 AND nth_that_waits <= free - CASE WHEN counts_woken THEN woken_before ELSE 0 END
                        END
                 UNION ALL
                 SELECT late.place
                 FROM   (SELECT l.key FROM unnest($1::bigint[]) AS l (key) WHERE EXISTS ({LineSql.Late})) AS a
                 CROSS  JOIN LATERAL (
                            SELECT   l.place, l.woken IS NOT NULL AS is_woken
                            FROM     "joblocks".line AS l
                            WHERE    l.key = a.key
                            AND      {LineSql.MayCome}
                            AND      EXISTS ({LineSql.Late} AND w.store = l.store AND w.queue = l.queue)
                            ORDER BY l.place
                            LIMIT    1
                            FOR UPDATE) AS late
                 WHERE  NOT late.is_woken)
        UPDATE "joblocks".line AS l
        SET    woken = now(), told = l.parked AND EXISTS (SELECT FROM unnest($4::text[], $5::text[]) AS o (store, queue) WHERE o.store = l.store AND coalesce(o.queue = l.queue, true))
        FROM   chosen
        WHERE  l.place = chosen.place
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

    /// <summary>Says to the processes of another store that the turn of one of its runs has come.</summary>
    public const string Notify = "SELECT pg_notify('joblocks', n) FROM unnest($1::text[]) AS n";

    /// <summary>
    /// Those of the places $1 whose turn has come and that no store has been told of yet, in the queues $3 of the stores $2: it is for the caller to tell
    /// them. Many may hear of a turn, and only one of them gets this answer.
    /// </summary>
    public const string Tell =
        """
        UPDATE "joblocks".line AS l
        SET    told = true
        FROM   (SELECT DISTINCT store, queue FROM unnest($2::text[], $3::text[]) AS o (store, queue)) AS o
        WHERE  l.place = ANY ($1)
        AND    l.store = o.store
        AND    coalesce(o.queue = l.queue, true)
        AND    l.woken IS NOT NULL
        AND    l.parked
        AND    NOT l.told
        RETURNING l.place, l.key, l.name, l.store, l.run, l.queue, l.parked, l.told, l.since, extract(epoch FROM now() - l.since)::float8
        """;

    /// <summary>The same for the first hundred of all places.</summary>
    public const string TellDeferred =
        """
        UPDATE "joblocks".line
        SET    told = true
        WHERE  place IN (
                   SELECT   l.place
                   FROM     "joblocks".line AS l
                   WHERE    l.store = ANY ($1)
                   AND      l.woken IS NOT NULL
                   AND      l.parked
                   AND      NOT l.told
                   AND      EXISTS (SELECT FROM unnest($1::text[], $2::text[]) AS o (store, queue) WHERE o.store = l.store AND coalesce(o.queue = l.queue, true))
                   ORDER BY l.place
                   LIMIT    100
                   FOR UPDATE SKIP LOCKED)
        RETURNING place, key, name, store, run, queue, parked, told, since, extract(epoch FROM now() - since)::float8
        """;
}
