namespace JobLocks.Postgres.WaitQueue;

/// <summary>How a run enters the line, is parked, and leaves it.</summary>
internal static class EntrySql
{
    /// <summary>The place of the run $2 of the store $1.</summary>
    public const string Find =
        """
        SELECT place, key, woken IS NOT NULL AND coalesce(until > now(), true), coalesce(until <= now(), false), verdict, since
        FROM   "joblocks".line
        WHERE  store = $1
        AND    run = $2
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

    /// <summary>The time-outs of <see cref="CountAlone"/>, before <see cref="CountAloneByTable"/>.</summary>
    public const string CountTimeouts =
        "SELECT set_config('lock_timeout', '2000', true), set_config('idle_in_transaction_session_timeout', '5000', true)";

    /// <summary>
    /// One at a time under all keys, where another program holds the advisory lock of one: by a lock on a table that only JobLocks may change. While that program
    /// lets go, one process may count by the one lock and one by the other, and the queue may be longer by one run.
    /// </summary>
    public const string CountAloneByTable = """LOCK TABLE "joblocks".limits IN SHARE UPDATE EXCLUSIVE MODE""";

    /// <summary>
    /// A run has come, so its queue has a worker: late runs of that queue no longer let others past its other runs. The year 1900 in "woken" marks them. Needs
    /// the address of that run as "came".
    /// </summary>
    private const string EndLateness =
        """
        late AS (
                 SELECT w.place
                 FROM   "joblocks".line AS w
                 JOIN   came AS l ON w.store = l.store AND w.queue = l.queue
                 WHERE  w.woken > 'epoch'
                 AND    w.woken < now() - interval '30 s'
                 AND    w.verdict IS NULL
                 AND    w.run <> l.run
                 FOR    UPDATE OF w SKIP LOCKED),
             marked AS (
                 UPDATE "joblocks".line
                 SET    woken = '1900-01-01 00:00+00'
                 WHERE  place IN (SELECT place FROM late))
        """;

    /// <summary>
    /// The run $2 of the store $1 stands in the line of the key $4, where no more than $9 stand. One that stands somewhere keeps its place:
    /// its turn came, and it could not run. Its queue is read from its row: the caller may not know it. Where $11 is true, a parked entry of this name is that of an
    /// earlier run, which was deleted: its wait, its deadline and its verdict are not taken over. Answers how many stand before it, and the place, if there is one.
    /// </summary>
    public const string Stand =
        $"""
        WITH was AS (SELECT place, key, queue FROM "joblocks".line WHERE store = $1 AND run = $2),
             came AS (SELECT $1::text AS store, $2::text AS run, coalesce((SELECT queue FROM was), $3::text) AS queue),
             {EndLateness},
             ahead AS (
                 SELECT count(*)::int AS n
                 FROM   (SELECT 1
                         FROM   "joblocks".line AS l
                         WHERE  l.key = $4
                         AND    l.place < coalesce((SELECT place FROM was), 9223372036854775807)
                         AND    {WaitQueueSql.Counts}
                         LIMIT  $9) AS few),
             stood AS (
                 INSERT INTO "joblocks".line AS l (store, run, queue, key, name, mode, slots, until, job)
                 SELECT $1, $2, $3, $4, $5, $6, $7, now() + $8 * interval '1 ms', $10
                 WHERE  EXISTS (SELECT FROM was) OR (SELECT n FROM ahead) < $9
                 ON CONFLICT (store, run) DO UPDATE
                 SET    key = excluded.key, name = excluded.name, mode = excluded.mode, slots = excluded.slots,
                        until = CASE WHEN excluded.until IS NOT NULL THEN coalesce(CASE WHEN NOT ($11 AND l.parked) THEN l.until END, excluded.until) END,
                        since = CASE WHEN $11 AND l.parked THEN excluded.since ELSE l.since END,
                        verdict = CASE WHEN NOT ($11 AND l.parked) THEN l.verdict END,
                        woken = NULL, told = false, parked = false
                 RETURNING l.place, l.key, coalesce(l.until <= now(), false), l.verdict, l.since, l.queue, extract(epoch FROM l.until - l.since)::float8)
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
        AND      {WaitQueueSql.Stands}
        ORDER BY place
        LIMIT    $2
        """;

    /// <summary>The first $2 that count under the key $1, and the oldest of them that was not woken yet: <see cref="ReplaceOldest"/> drops that one.</summary>
    public const string FirstCounted =
        $"""
        SELECT   place, key, name, store, run, queue, parked, false, since, extract(epoch FROM now() - since)::float8
        FROM     "joblocks".line
        WHERE    place IN (
                     (SELECT place FROM "joblocks".line AS l WHERE key = $1 AND {WaitQueueSql.Counts} ORDER BY place LIMIT $2)
                     UNION ALL
                     (SELECT place FROM "joblocks".line AS l WHERE key = $1 AND woken IS NULL AND {WaitQueueSql.Counts} ORDER BY place LIMIT 1))
        ORDER BY place
        """;

    /// <summary>
    /// The oldest run that counts and was not woken under the key $1, beside the run $3 of the store $2, is not to run: $4 says why. It is woken to learn that.
    /// </summary>
    public const string ReplaceOldest =
        $"""
        UPDATE "joblocks".line
        SET    verdict = $4, woken = now()
        WHERE  place = (
                   SELECT   place
                   FROM     "joblocks".line AS l
                   WHERE    key = $1
                   AND      woken IS NULL
                   AND      {WaitQueueSql.Counts}
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

    /// <summary>
    /// Those of the positions $2 of the runs $3 of the store $1 that have no entry under the keys $4. Answers as well whether the run has another entry: at another
    /// position, or for another of its locks.
    /// </summary>
    public const string WithoutEntry =
        """
        SELECT    p.place, l.place IS NOT NULL OR EXISTS (SELECT FROM "joblocks".line AS o WHERE o.store = $1 AND o.run = p.run)
        FROM      unnest($2::bigint[], $3::text[], $4::bigint[]) AS p (place, run, key)
        LEFT JOIN "joblocks".line AS l ON l.place = p.place
        WHERE     l.place IS NULL
        OR        l.key <> p.key
        """;

    /// <summary>
    /// Runs of the store $1 have their entries again at the positions $2, those that have another entry by now excepted. All other arrays are in the
    /// same order. Answers the positions.
    /// </summary>
    public const string Restore =
        """
        WITH restored AS (
                 INSERT INTO "joblocks".line (store, place, run, queue, key, name, mode, slots, since, until, job, parked)
                 SELECT $1, r.place, r.run, r.queue, r.key, r.name, r.mode, r.slots, r.since, r.since + r.waits * interval '1 ms', r.job, true
                 FROM   unnest($2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::smallint[], $8::integer[], $9::timestamptz[], $10::float8[], $11::text[])
                        AS r (place, run, queue, key, name, mode, slots, since, waits, job)
                 ON CONFLICT DO NOTHING
                 RETURNING place)
        SELECT place FROM restored
        """;

    /// <summary>The store of the run of the place $1 has kept it, though nobody has said so.</summary>
    public const string WasParked = """UPDATE "joblocks".line SET parked = true WHERE place = $1""";

    /// <summary>Removes the place $1 of a run that has come.</summary>
    public const string Come =
        $"""
        WITH came AS (DELETE FROM "joblocks".line WHERE place = $1 RETURNING store, run, queue),
             {EndLateness}
        SELECT FROM came
        """;

    /// <summary>The places $1 are given up: their runs will never begin.</summary>
    public const string Leave = """DELETE FROM "joblocks".line WHERE place = ANY ($1)""";

    /// <summary>Those of the runs $2 that have a place under one of the names $1 of their store.</summary>
    public const string Known = """SELECT run FROM "joblocks".line WHERE store = ANY ($1) AND run = ANY ($2)""";
}
