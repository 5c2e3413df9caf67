using System.Globalization;
using JobLocks.Postgres;

namespace JobLocks.Line;

/// <summary>
/// All that is asked of PostgreSQL about the line. A row stands before others while it has no verdict, while its turn, if it has come, is not over, and
/// while a process serves its store: a woken run that does not come within that time lets the next one past.
/// </summary>
internal static class LineSql
{
    /// <summary>Whether the row l of the line stands before others. Asks the lock table only where such a row is found, and once in a statement.</summary>
    public const string Stands = $"{MayCome} AND NOT EXISTS ({Late} AND w.store = l.store AND w.queue = l.queue)";

    private const string MayCome = $"l.verdict IS NULL AND (l.woken IS NULL OR l.woken > now() - interval '30 s') AND {PresenceSql.IsServed}";

    // A woken run that did not come in time says of its queue that no worker takes what is in it. A paused one does not: see EndTurn.
    private const string Late =
        """SELECT FROM "joblocks".line AS w WHERE w.key = l.key AND w.woken < now() - interval '30 s' AND w.woken > 'epoch' AND w.verdict IS NULL""";

    /// <summary>The place of the run $2 of the store $1.</summary>
    public const string Find =
        """
        SELECT place, key, woken IS NOT NULL AND coalesce(until > now(), true), coalesce(until <= now(), false), verdict, since
        FROM   "joblocks".line
        WHERE  store = $1
        AND    run = $2
        """;

    /// <summary>An error where somebody has the table to himself, or waits for that. The same for a full lock table, whose own error would end the connection.</summary>
    public const string CanLook =
        """
        DO $do$
        BEGIN
            LOCK TABLE "joblocks".line IN ACCESS SHARE MODE NOWAIT;
        EXCEPTION WHEN out_of_memory THEN
            RAISE lock_not_available;
        END $do$
        """;

    /// <summary>
    /// One at a time under the key $1, so that those who wait can be counted. "JLln" in ASCII. Whoever stops in the middle of it is ended after five
    /// seconds, and until then nobody waits for him any longer than two.
    /// </summary>
    public const string CountAlone =
        """
        SELECT set_config('lock_timeout', '2000', true),
               set_config('idle_in_transaction_session_timeout', '5000', true),
               pg_advisory_xact_lock(1246522478, ($1 & 2147483647)::int)
        """;

    /// <summary>
    /// The run $2 of the store $1 stands in the line of the key $4, where no more than $9 stand. One that stands somewhere keeps its place:
    /// its turn came, and it could not run. Answers how many stand before it, and the place, if there is one.
    /// </summary>
    public const string Stand =
        $"""
        WITH was AS (SELECT place, key FROM "joblocks".line WHERE store = $1 AND run = $2),
             ahead AS (
                 SELECT count(*)::int AS n
                 FROM   (SELECT 1
                         FROM   "joblocks".line AS l
                         WHERE  l.key = $4
                         AND    l.place < coalesce((SELECT place FROM was), 9223372036854775807)
                         AND    {MayCome}
                         AND    (l.store, l.queue) NOT IN (SELECT w.store, w.queue FROM "joblocks".line AS w WHERE w.key = $4 AND w.woken < now() - interval '30 s' AND w.woken > 'epoch' AND w.verdict IS NULL)
                         LIMIT  $9) AS few),
             stood AS (
                 INSERT INTO "joblocks".line AS l (store, run, queue, key, name, mode, slots, until, job)
                 SELECT $1, $2, $3, $4, $5, $6, $7, now() + $8 * interval '1 ms', $10
                 WHERE  EXISTS (SELECT FROM was) OR (SELECT n FROM ahead) < $9
                 ON CONFLICT (store, run) DO UPDATE
                 SET    key = excluded.key, name = excluded.name, mode = excluded.mode, slots = excluded.slots,
                        until = CASE WHEN excluded.until IS NOT NULL THEN coalesce(l.until, excluded.until) END,
                        woken = NULL, told = false, parked = false
                 RETURNING l.place, l.key, coalesce(l.until <= now(), false), l.verdict, l.since)
        SELECT (SELECT n FROM ahead), (SELECT key FROM was), stood.*
        FROM   (SELECT 1) AS always
        LEFT   JOIN stood ON true
        """;

    /// <summary>The first $2 that stand under the key $1.</summary>
    public const string First =
        $"""
        SELECT   place, key, name, store, run, queue, parked, false, since, extract(epoch FROM now() - since)::float8
        FROM     "joblocks".line AS l
        WHERE    key = $1
        AND      {Stands}
        ORDER BY place
        LIMIT    $2
        """;

    /// <summary>The oldest that waits under the key $1, beside the run $3 of the store $2, is not to run: $4 says why. It is woken to be told.</summary>
    public const string ReplaceOldest =
        """
        UPDATE "joblocks".line
        SET    verdict = $4, woken = now()
        WHERE  place = (
                   SELECT   place
                   FROM     "joblocks".line
                   WHERE    key = $1
                   AND      woken IS NULL
                   AND      verdict IS NULL
                   AND      NOT (store = $2 AND run = $3)
                   ORDER BY place
                   LIMIT    1
                   FOR UPDATE)
        RETURNING place
        """;

    /// <summary>
    /// The run of the place $1 is parked. Answers whether it was woken before that. Where its place was given up meanwhile, since its store took
    /// long to keep it, it has it back.
    /// </summary>
    public const string Park =
        """
        INSERT INTO "joblocks".line AS l (place, store, run, queue, key, name, mode, slots, since, until, job, parked)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9 + $10 * interval '1 ms', $11, true)
        ON CONFLICT (store, run) DO UPDATE SET parked = true
        RETURNING l.woken IS NOT NULL
        """;

    /// <summary>The store of the run of the place $1 has kept it, though nobody has said so.</summary>
    public const string WasParked = """UPDATE "joblocks".line SET parked = true WHERE place = $1""";

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

    /// <summary>The places $1 are given up: their runs have begun, or will never.</summary>
    public const string Leave = """DELETE FROM "joblocks".line WHERE place = ANY ($1)""";

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
                            AND      {Stands}
                            ORDER BY place
                            LIMIT    (SELECT   CASE WHEN mode = 1 THEN 10000 WHEN slots = 1 THEN 1 ELSE slots + a.free END
                                      FROM     "joblocks".line AS l
                                      WHERE    l.key = a.key
                                      AND      {Stands}
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
                 FROM   (SELECT l.key FROM unnest($1::bigint[]) AS l (key) WHERE EXISTS ({Late})) AS a
                 CROSS  JOIN LATERAL (
                            SELECT   l.place, l.woken IS NOT NULL AS is_woken
                            FROM     "joblocks".line AS l
                            WHERE    l.key = a.key
                            AND      {MayCome}
                            AND      EXISTS ({Late} AND w.store = l.store AND w.queue = l.queue)
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

    /// <summary>
    /// The keys that have a line, with what stands first under them, and whether somebody has them: $1 of them from the key $2 on. Goes from key to
    /// key through the index, so that a long line costs no more than a short one. Where the turn of all is over, the first has 0 slots.
    /// </summary>
    public const string Heads =
        $"""
        WITH RECURSIVE
             names AS (
                 (SELECT key, 1 AS nth FROM "joblocks".line WHERE key >= $2 ORDER BY key LIMIT 1)
                 UNION ALL
                 SELECT (SELECT l.key FROM "joblocks".line AS l WHERE l.key > n.key ORDER BY l.key LIMIT 1), n.nth + 1
                 FROM   names AS n
                 WHERE  n.key IS NOT NULL AND n.nth < $1),
             held AS MATERIALIZED (
                 SELECT   (classid::bigint << 32) | objid::bigint AS key, bool_or(mode = 'ExclusiveLock') AS alone
                 FROM     pg_locks
                 WHERE    locktype = 'advisory'
                 AND      objsubid = 1
                 AND      granted
                 AND      database = (SELECT oid FROM pg_database WHERE datname = current_database())
                 GROUP BY 1)
        SELECT n.key, coalesce(h.name, late.name, ''), coalesce(h.mode, late.mode, 0::smallint), coalesce(h.slots, late.slots, 0), held.key IS NOT NULL, coalesce(held.alone, false)
        FROM   names AS n
        LEFT   JOIN LATERAL (
                   SELECT   name, mode, slots
                   FROM     "joblocks".line AS l
                   WHERE    l.key = n.key
                   AND      {Stands}
                   ORDER BY place
                   LIMIT    1) AS h ON true
        LEFT   JOIN LATERAL (
                   SELECT   name, mode, slots
                   FROM     "joblocks".line AS l
                   WHERE    h.name IS NULL
                   AND      l.key = n.key
                   AND      l.woken IS NULL
                   AND      {MayCome}
                   ORDER BY place
                   LIMIT    1) AS late ON true
        LEFT   JOIN held ON held.key = n.key
        WHERE  n.key IS NOT NULL
        ORDER BY n.key
        """;

    /// <summary>For each of the names $1[i], how many of its slots $2[i] somebody has; names with none are left out.</summary>
    public const string CountHeld =
        """
        SELECT   u.name, count(DISTINCT u.slot)::int
        FROM     ROWS FROM (unnest($1::int[]), unnest($2::bigint[])) AS u (name, slot)
        JOIN     (SELECT (classid::bigint << 32) | objid::bigint AS key
                  FROM   pg_locks
                  WHERE  locktype = 'advisory'
                  AND    objsubid = 1
                  AND    granted
                  AND    database = (SELECT oid FROM pg_database WHERE datname = current_database())) AS h ON h.key = u.slot
        GROUP BY u.name
        """;

    /// <summary>Of the store $1: those whose time is over are woken to be told, if their turn has not come.</summary>
    public const string WakeOverdue =
        """
        UPDATE "joblocks".line
        SET    woken = now(), told = parked
        WHERE  place IN (SELECT place FROM "joblocks".line WHERE store = $1 AND until <= now() AND woken IS NULL ORDER BY until LIMIT 100 FOR UPDATE SKIP LOCKED)
        RETURNING place, key, name, store, run, queue, parked, told, since, extract(epoch FROM now() - since)::float8
        """;

    /// <summary>
    /// Of the store $1: those whose turn came a moment ago, and of which it does not know. A signal was lost, or no process had a free worker. They are for
    /// the caller where it has one, in the queues $3 of the stores $2; and after three seconds in any case for who sweeps for the store, where $4 is true.
    /// </summary>
    public const string TellForgotten =
        """
        UPDATE "joblocks".line
        SET    told = true
        WHERE  place IN (
                   SELECT   l.place
                   FROM     "joblocks".line AS l
                   WHERE    l.store = $1
                   AND      l.woken < now() - interval '1 s'
                   AND      l.parked
                   AND      NOT l.told
                   AND      (($4 AND l.woken < now() - interval '3 s')
                             OR EXISTS (SELECT FROM unnest($2::text[], $3::text[]) AS o (store, queue) WHERE o.store = l.store AND coalesce(o.queue = l.queue, true)))
                   ORDER BY l.place
                   LIMIT    100
                   FOR UPDATE SKIP LOCKED)
        RETURNING place, key, name, store, run, queue, parked, told, since, extract(epoch FROM now() - since)::float8
        """;

    /// <summary>
    /// Of the store $1: the next $3 from the place $2 on whose turn came and who have not come. Whoever was to park them, or to tell the store,
    /// may have died.
    /// </summary>
    public const string Missing =
        """
        SELECT   place, key, name, store, run, queue, parked, told, since, extract(epoch FROM now() - since)::float8
        FROM     "joblocks".line
        WHERE    store = $1
        AND      place > $2
        AND      woken < now() - CASE WHEN parked THEN interval '5 s' ELSE interval '1 s' END
        ORDER BY place
        LIMIT    $3
        """;

    /// <summary>Of the store $1: the next $3 from the place $2 on, to be asked after. Not those that are just being parked.</summary>
    public const string Next =
        """
        SELECT   place, key, name, store, run, queue, parked, false, since, extract(epoch FROM now() - since)::float8
        FROM     "joblocks".line
        WHERE    store = $1
        AND      woken IS NULL
        AND      place > $2
        AND      since < now() - interval '2 s'
        ORDER BY place
        LIMIT    $3
        """;

    /// <summary>Those of the runs $2 of the store $1 that have a place.</summary>
    public const string Known = """SELECT run FROM "joblocks".line WHERE store = $1 AND run = ANY ($2)""";

    /// <summary>Whether the store $1 has runs in line.</summary>
    public const string HasRuns = """SELECT to_jsonb(EXISTS (SELECT FROM "joblocks".line WHERE store = $1 #>> '{}'))""";

    /// <summary>This session sweeps the line for the store whose number is $1, if no other does. "JLsw" in ASCII.</summary>
    public const string Lead = "SELECT to_jsonb(CASE WHEN pg_try_advisory_lock(1246524279, $1::int) THEN pg_backend_pid() END)";

    /// <summary>The stores that have runs in line and that no process serves. Goes from store to store through the index.</summary>
    public const string UnservedStores =
        $"""
        WITH RECURSIVE stores AS (
                 (SELECT store FROM "joblocks".line ORDER BY store LIMIT 1)
                 UNION ALL
                 SELECT (SELECT l.store FROM "joblocks".line AS l WHERE l.store > s.store ORDER BY l.store LIMIT 1)
                 FROM   stores AS s
                 WHERE  s.store IS NOT NULL)
        SELECT store FROM stores AS l WHERE store IS NOT NULL AND NOT {PresenceSql.IsServed}
        """;

    /// <summary>The store $1 has no places any more.</summary>
    public const string Bury = """DELETE FROM "joblocks".line WHERE store = $1""";

    /// <summary>The store $1 is called $2 now. A run that stands under both names keeps the place of the new one.</summary>
    public const string Rename =
        """
        WITH doubled AS (
            DELETE FROM "joblocks".line AS l
            WHERE  store = $1
            AND    EXISTS (SELECT FROM "joblocks".line AS o WHERE o.store = $2 AND o.run = l.run)
            RETURNING place)
        UPDATE "joblocks".line
        SET    store = $2
        WHERE  store = $1
        AND    place NOT IN (SELECT place FROM doubled)
        """;

    /// <summary>Another session may sweep for it.</summary>
    public const string StopLeading = "SELECT to_jsonb(pg_advisory_unlock(1246524279, $1::int)::int)";

    /// <summary>The statement for the schema and the length of a turn that these options say. Without a schema, it is one that needs none.</summary>
    public static string For(JobLocksOptions options, string sql) => (options.Schema is { } schema ? SchemaSql.For(schema, sql) : sql)
        .Replace("interval '30 s'", $"interval '{options.TurnLasts.TotalMilliseconds.ToString("0", CultureInfo.InvariantCulture)} ms'", StringComparison.Ordinal);
}
