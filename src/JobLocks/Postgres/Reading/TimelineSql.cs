namespace JobLocks.Postgres.Reading;

/// <summary>Statements that write and read what the plots of the pages show: single runs of a name, and samples of all locks.</summary>
internal static class TimelineSql
{
    /// <summary>
    /// The part of <see cref="ReadModelSql.AddStatisticsAndRuns"/> that writes the newest runs of each name, and deletes the runs of the name that are older than
    /// its 50 newest rows. A row that another process deletes at the same moment is left to that process, so that the two do not wait for each other.
    /// The limit makes PostgreSQL read the rows through the index, name by name.
    /// </summary>
    public const string AddRuns =
        """
        ,
             surplus AS (
                 DELETE FROM "joblocks".recent_runs
                 WHERE  ctid = ANY (ARRAY(
                            SELECT o.ctid
                            FROM   new AS n
                            CROSS  JOIN LATERAL (
                                       SELECT   released
                                       FROM     "joblocks".recent_runs
                                       WHERE    name_key = n.key
                                       ORDER BY released DESC
                                       OFFSET   49
                                       LIMIT    1) AS last
                            CROSS  JOIN LATERAL (
                                       SELECT ctid
                                       FROM   "joblocks".recent_runs
                                       WHERE  name_key = n.key
                                       AND    released < last.released
                                       LIMIT  1000
                                       FOR    UPDATE SKIP LOCKED) AS o))),
             recent AS (
                 INSERT INTO "joblocks".recent_runs (name_key, run, waiting_since, held_since, released, written, unrecorded)
                 SELECT n.key, r.run, r.waiting_since, r.held_since, r.released, now(), r.unrecorded
                 FROM   new AS n
                 CROSS  JOIN LATERAL jsonb_to_recordset(n.ended) AS r (run text, waiting_since timestamptz, held_since timestamptz, released timestamptz, unrecorded bigint))
        """;

    /// <summary>
    /// Removes at most $1 of the runs that were written more than ten minutes ago, since a timeline shows at most six minutes. Returns how many it has removed.
    /// A row that another process removes at the same moment is left to that process, so that the two do not wait for each other.
    /// </summary>
    public const string ForgetRuns =
        """
        WITH forgotten AS (
                 DELETE FROM "joblocks".recent_runs
                 WHERE  ctid = ANY (ARRAY(
                            SELECT ctid
                            FROM   "joblocks".recent_runs
                            WHERE  written < now() - interval '10 minutes'
                            ORDER  BY written
                            LIMIT  $1::int
                            FOR    UPDATE SKIP LOCKED))
                 RETURNING 1)
        SELECT to_jsonb(count(*)) FROM forgotten
        """;

    /// <summary>
    /// The runs of the name $1 that were written in the last five to six minutes, at most $2, the newest first. As the statistics, they are selected by the minute in
    /// which they were written. The first columns are the same in all rows: the time; how many runs have released the lock; and until when runs may be missing between
    /// the others. They are missing in a minute in which a process has counted its runs and recorded none of them. And they are missing before the grant of a run
    /// if its process did not record the runs before it.
    /// </summary>
    public const string RecentRuns =
        """
        SELECT now(), m.runs, greatest(m.missing_until, max(CASE WHEN r.unrecorded > 0 THEN r.held_since END) OVER ()), r.run, r.waiting_since, r.held_since, r.released
        FROM   (SELECT coalesce(sum(runs), 0)::bigint AS runs, max(CASE WHEN runs > recorded THEN minute END) + interval '1 minute' AS missing_until
                FROM   "joblocks".minutes
                WHERE  key = $1
                AND    minute >= date_trunc('minute', now()) - interval '5 minutes') AS m
        LEFT   JOIN (SELECT   run, waiting_since, held_since, released, unrecorded
                     FROM     "joblocks".recent_runs
                     WHERE    name_key = $1
                     AND      written >= date_trunc('minute', now()) - interval '5 minutes'
                     ORDER BY released DESC
                     LIMIT    $2) AS r ON true
        ORDER  BY r.released DESC
        """;

    /// <summary>
    /// Takes a sample of all locks, unless there is one of this interval: $1 in milliseconds. Then the lock table and the wait queue are not read. Also removes the
    /// samples that are older than an hour. Counts the same locks as <see cref="InspectionSources.Locks"/>. A further slot of a limit is known by its name only if its
    /// holder is recorded. PostgreSQL hashes a full join even if the table
    /// statistics are out of date: a nested loop would run thousands of times.
    /// </summary>
    public const string TakeSample =
        """
        WITH interval_now AS MATERIALIZED (SELECT to_timestamp(floor(extract(epoch FROM now())::float8 * 1000 / $1) * $1 / 1000) AS began),
             locks AS MATERIALIZED (
                 SELECT (classid::bigint << 32) | objid::bigint AS key, pid, true AS is_granted
                 FROM   pg_locks
                 WHERE  locktype = 'advisory'
                 AND    objsubid = 1
                 AND    classid <> 1246523506
                 AND    granted
                 AND    database = (SELECT oid FROM pg_database WHERE datname = current_database())),
             held AS (
                 SELECT DISTINCT coalesce(h.name_key, l.key) AS key
                 FROM   locks AS l
                 FULL   JOIN "joblocks".holders AS h ON h.backend = l.pid AND h.key = l.key
                 WHERE  coalesce(l.is_granted, false)),
             queues AS (SELECT key, count(*) AS length FROM "joblocks".wait_queue WHERE verdict IS NULL GROUP BY key),
             expired AS (DELETE FROM "joblocks".samples WHERE taken < now() - interval '1 hour')
        INSERT INTO "joblocks".samples (taken, held, waiting, free)
        SELECT (SELECT began FROM interval_now), (SELECT count(*) FROM locks), q.waiting, q.free
        FROM   (SELECT coalesce(sum(queues.length), 0)::bigint AS waiting, count(*) FILTER (WHERE held.key IS NULL AND queues.key IS NOT NULL) AS free
                FROM   queues
                LEFT   JOIN held ON held.key = queues.key) AS q
        WHERE  NOT EXISTS (SELECT FROM "joblocks".samples WHERE taken = (SELECT began FROM interval_now))
        ON CONFLICT DO NOTHING
        """;

    /// <summary>The samples of the last hour, the oldest first.</summary>
    public const string Samples =
        """SELECT taken, held, waiting, free FROM "joblocks".samples WHERE taken > now() - interval '1 hour' ORDER BY taken""";
}
