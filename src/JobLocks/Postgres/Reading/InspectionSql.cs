using JobLocks.Postgres.WaitQueue;
using static JobLocks.Postgres.Reading.InspectionSources;

namespace JobLocks.Postgres.Reading;

/// <summary>Statements of the inspection. PostgreSQL's own lock table is authoritative, and the tables of JobLocks only add to it.
/// Where the schema cannot be read, the same statements run on empty tables.</summary>
internal static class InspectionSql
{
    /// <summary>The held locks: skips $1 and reads $2. The first column is their total number.</summary>
    public const string Held =
        InspectionSources.Locks + Tables + Holding +
        """
        ,
             sorted AS (
                 SELECT *
                 FROM   holding AS l
                 ORDER  BY since NULLS LAST, pid, key
                 OFFSET $1 LIMIT $2)
        """
        + HolderColumns + "FROM (SELECT count(*) AS total FROM holding) AS t LEFT JOIN sorted AS l ON true" + HolderJoins + "ORDER BY l.since NULLS LAST, l.pid, l.key";

    /// <summary>The holders of the key $1, or of one of its slots.</summary>
    public const string HeldOfKey =
        InspectionSources.Locks + Tables + Holding +
        """
        ,
             sorted AS (
                 SELECT *
                 FROM   holding AS l
                 WHERE  key = $1 OR name_key = $1
                 ORDER  BY since NULLS LAST, pid, key
                 LIMIT  100)
        """
        + HolderColumns + "FROM (SELECT count(*) AS total FROM sorted) AS t LEFT JOIN sorted AS l ON true" + HolderJoins + "ORDER BY l.since NULLS LAST, l.pid, l.key";

    /// <summary>The names for which runs wait: skips $1 and reads $2. The first column is their total number.</summary>
    public const string Waiting =
        InspectionSources.Locks + Tables + Queues +
        """
        ,
             page AS MATERIALIZED (SELECT * FROM queues ORDER BY length DESC, key OFFSET $1 LIMIT $2),
             written AS MATERIALIZED (SELECT h.* FROM page AS p CROSS JOIN LATERAL (SELECT * FROM holders WHERE name_key = p.key OFFSET 0) AS h),
             sorted AS (
                 SELECT DISTINCT ON (p.key) p.key AS waited, l.key, l.mode, l.pid, h.name_key, h.name, h.run, h.since, h.store
                 FROM   locks AS l
                 FULL   JOIN written AS h ON h.backend = l.pid AND h.key = l.key
                 JOIN   page AS p ON p.key = coalesce(h.name_key, l.key)
                 WHERE  coalesce(l.pid, 0) > 0
                 ORDER  BY p.key, h.since NULLS LAST)
        SELECT t.total, l.key, l.name_key, l.name, l.mode, l.pid, l.run, l.since, a.application_name, host(a.client_addr::inet), a.backend_start, s.backend IS NULL,
               n.runs, n.held, p.key, f.name, p.length, f.since, t.runs, l.store,
        """ + CountUnserved +
        """

        FROM   (SELECT count(*) AS total, coalesce(sum(length), 0)::bigint AS runs FROM queues) AS t
        LEFT   JOIN page AS p ON true
        LEFT   JOIN waiters AS f ON f.entry = p.first
        LEFT   JOIN sorted AS l ON l.waited = p.key
        LEFT   JOIN alive AS a ON a.pid = l.pid
        LEFT   JOIN sessions AS s ON s.backend = l.pid
        LEFT   JOIN names AS n ON n.key = p.key
        ORDER  BY p.length DESC, p.key
        """;

    /// <summary>Whether a run waits in its worker, or was called and is on its way to one.</summary>
    private const string IsAboutToStart = "NOT parked OR (claimed AND woken IS NULL)";

    /// <summary>The waiters of the key $1: skips $2 and reads $3. The first column is their total number. Runs whose store no process serves are bypassed, and
    /// do not count for the positions of other runs.</summary>
    public const string WaitersOfKey =
        $"""
        SELECT t.total, l.*
        FROM   (SELECT count(*) AS total FROM "joblocks".wait_queue WHERE key = $1 AND verdict IS NULL) AS t
        LEFT   JOIN (SELECT name,
                            1 + before_page + count(*) FILTER (WHERE is_served) OVER (ORDER BY entry ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS position,
                            mode, store, run, queue, since, woken, job, is_served, {IsAboutToStart} AS is_about_to_start, entry
                     FROM   (SELECT l.*, {PresenceSql.IsServed} AS is_served
                             FROM   (SELECT * FROM "joblocks".wait_queue WHERE key = $1 AND verdict IS NULL ORDER BY entry OFFSET $2 LIMIT $3) AS l) AS page
                     CROSS  JOIN (SELECT count(*) AS before_page
                                  FROM   (SELECT store FROM "joblocks".wait_queue WHERE key = $1 AND verdict IS NULL ORDER BY entry LIMIT $2) AS l
                                  WHERE  {PresenceSql.IsServed}) AS b) AS l ON true
        ORDER  BY l.entry
        """;

    /// <summary>The statistics of the key $1.</summary>
    public const string Statistics = """SELECT name, runs, held, refused, waited FROM "joblocks".names WHERE key = $1""";

    /// <summary>The statistics of the key $1 in the last hour, by minute.</summary>
    public const string Minutes =
        """
        SELECT minute, runs, held, refused, waited, free FROM "joblocks".minutes WHERE key = $1 AND minute > now() - interval '1 hour' ORDER BY minute
        """;

    /// <summary>Lock names that are like $1, that have the key $2 or $3, or that the run or job $4 waits for or holds. A name has no row in names before its first
    /// release, so holders is searched too.</summary>
    public const string Find =
        "WITH RECURSIVE " + Stores +
        """

        SELECT * FROM (SELECT key, name, 'name' FROM "joblocks".names WHERE name ILIKE $1 ORDER BY seen DESC LIMIT 100) AS by_name
        UNION ALL
        SELECT key, name, 'key' FROM "joblocks".names WHERE key IN ($2, $3) AND name NOT ILIKE $1
        UNION ALL
        SELECT * FROM (SELECT DISTINCT h.name_key, h.name, CASE WHEN h.name ILIKE $1 THEN 'name' ELSE 'key' END
                       FROM   "joblocks".holders AS h
                       WHERE  h.name <> ''
                       AND    (h.name ILIKE $1 OR h.name_key IN ($2, $3))
                       AND    NOT EXISTS (SELECT FROM "joblocks".names AS n WHERE n.key = h.name_key)
                       LIMIT  100) AS by_held
        UNION ALL
        SELECT l.key, l.name, split_part(replace(l.store, 'memory: ', ''), ' ', 1) || ' run ' || l.run
        FROM   stores AS s JOIN "joblocks".wait_queue AS l ON l.store = s.store AND l.run = $4
        UNION ALL
        SELECT * FROM (SELECT DISTINCT key, name, 'job ' || job FROM "joblocks".wait_queue WHERE job IN ($4, 'DEFAULT.' || $4) LIMIT 100) AS by_job
        UNION ALL
        SELECT * FROM (SELECT name_key, name, run
                       FROM   "joblocks".holders
                       WHERE  run = split_part(run, ' ', 1) || ' job ' || $4
                       OR     starts_with(run, 'Quartz job ' || $4 || ' fired ')
                       OR     starts_with(run, 'Quartz job DEFAULT.' || $4 || ' fired ')
                       LIMIT  100) AS by_holder
        LIMIT 100
        """;

    /// <summary>The waiting run or job $1, of the store $2 where that is known: key, name, since when, when it was woken, how many runs are before it, how many
    /// wait in all, the values for the usual duration, whether a process serves its store, and whether it is about to start. Runs whose store no process serves are not counted.</summary>
    public const string FindWaiter =
        "WITH RECURSIVE " + Stores +
        $"""
        ,
             unserved AS MATERIALIZED (SELECT store FROM stores AS l WHERE store IS NOT NULL AND NOT {PresenceSql.IsServed})
        SELECT w.key, w.name, w.since, w.woken, c.before - u.before, c.total - u.total, n.runs, n.held, w.is_served, {IsAboutToStart}
        FROM   (SELECT l.*, {PresenceSql.IsServed} AS is_served
                FROM   stores AS s
                JOIN   "joblocks".wait_queue AS l ON l.store = s.store AND l.run = $1
                WHERE  $2 IS NULL OR s.store = $2
                UNION ALL
                SELECT l.*, {PresenceSql.IsServed}
                FROM   "joblocks".wait_queue AS l
                WHERE  l.job IN ($1, 'DEFAULT.' || $1)
                AND    coalesce(l.store = $2, true)) AS w
        CROSS  JOIN LATERAL (
                   SELECT count(*) FILTER (WHERE l.entry < w.entry) AS before, count(*) AS total
                   FROM   "joblocks".wait_queue AS l
                   WHERE  l.key = w.key
                   AND    l.verdict IS NULL) AS c
        CROSS  JOIN LATERAL (
                   SELECT count(*) FILTER (WHERE l.entry < w.entry) AS before, count(*) AS total
                   FROM   "joblocks".wait_queue AS l
                   WHERE  EXISTS (SELECT FROM unserved)
                   AND    l.key = w.key
                   AND    l.verdict IS NULL
                   AND    l.entry <> w.entry
                   AND    l.store IN (SELECT store FROM unserved)) AS u
        LEFT   JOIN "joblocks".names AS n ON n.key = w.key
        WHERE  w.verdict IS NULL
        ORDER  BY w.entry
        LIMIT  1
        """;

    /// <summary>What the run or the job $1 holds, of the store $2 where that is known: runs of two stores may have the same name.</summary>
    public const string FindHolder =
        InspectionSources.Locks + Tables +
        """

        SELECT   h.name, h.since
        FROM     holders AS h
        JOIN     locks AS l ON l.pid = h.backend AND l.key = h.key
        WHERE    (h.run = split_part(h.run, ' ', 1) || ' job ' || $1
                  OR starts_with(h.run, 'Quartz job ' || $1 || ' fired ')
                  OR starts_with(h.run, 'Quartz job DEFAULT.' || $1 || ' fired '))
        AND      ($2 IS NULL OR h.store = $2)
        ORDER BY h.since
        LIMIT    1
        """;

    /// <summary>Writes the name $2 into the rows of the key $1 that have no request: rows of the backends $3 that were held at $4, and all rows of the backends
    /// $5. Rows of later holders stay unchanged. If $6 is not null, only rows of the lock name with this key are changed: a slot has its own key.</summary>
    public const string RequestRelease =
        """
        UPDATE "joblocks".holders SET release_requested_by = $2
        WHERE  key = $1 AND release_requested_by IS NULL AND backend = ANY ($3) AND (since <= $4 OR backend = ANY ($5)) AND coalesce(name_key = $6, true)
        RETURNING backend, number
        """;

    /// <summary>The holders of the key $1: the time, the backend, whether it is foreign, the number of its lock, since when, and whether a release was
    /// requested.</summary>
    public const string HoldersOfKey =
        InspectionSources.Locks + Tables +
        """

        SELECT now(), coalesce(l.pid, 0), s.backend IS NULL, h.number, h.since, h.release_requested_by IS NOT NULL
        FROM   locks AS l
        LEFT   JOIN sessions AS s ON s.backend = l.pid
        LEFT   JOIN holders AS h ON h.backend = l.pid AND h.key = l.key
        WHERE  l.key = $1
        """;

    /// <summary>Ends the session of the backend $1, if it holds a lock.</summary>
    public const string EndSession = InspectionSources.Locks + " SELECT pg_terminate_backend(pid) FROM locks WHERE pid = $1 LIMIT 1";

    // Reads store by store through the index: a run is found by its store and its name there.
    private const string Stores =
        """
        stores AS (
            (SELECT store FROM "joblocks".wait_queue ORDER BY store LIMIT 1)
            UNION ALL
            SELECT (SELECT l.store FROM "joblocks".wait_queue AS l WHERE l.store > s.store ORDER BY l.store LIMIT 1)
            FROM   stores AS s
            WHERE  s.store IS NOT NULL)
        """;

    private const string HolderColumns =
        """

        SELECT t.total, l.key, l.name_key, coalesce(nullif(l.name, ''), n.name), l.mode, l.pid, l.run, l.since, a.application_name, host(a.client_addr::inet), a.backend_start,
               s.backend IS NULL, n.runs, n.held, l.store, l.waiting_since

        """;

    private const string HolderJoins =
        """

        LEFT JOIN alive AS a ON a.pid = l.pid
        LEFT JOIN sessions AS s ON s.backend = l.pid
        LEFT JOIN names AS n ON n.key = coalesce(l.name_key, l.key)

        """;
}
