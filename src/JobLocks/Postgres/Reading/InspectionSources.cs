using JobLocks.Postgres.WaitQueue;

namespace JobLocks.Postgres.Reading;

/// <summary>
/// The common table expressions that the statements of the inspection begin with: the lock table of PostgreSQL, and the tables of JobLocks or empty ones.
/// </summary>
internal static class InspectionSources
{
    /// <summary>
    /// The sessions of the server and the granted locks. Statements that need the lock table begin with this. It leaves out the keys with "JLpr" in their upper
    /// half, which a session locks for a moment when it opens. A name whose key has this upper half is not shown: one name in four billion.
    /// </summary>
    public const string Locks =
        """
        WITH RECURSIVE alive AS MATERIALIZED (SELECT pid, application_name, client_addr, backend_start FROM pg_stat_get_activity(NULL)),
             locks AS MATERIALIZED (
                 SELECT (classid::bigint << 32) | objid::bigint AS key, CASE mode WHEN 'ShareLock' THEN 1 ELSE 0 END AS mode, pid
                 FROM   pg_locks
                 WHERE  locktype = 'advisory'
                 AND    objsubid = 1
                 AND    classid <> 1246523506
                 AND    granted
                 AND    database = (SELECT oid FROM pg_database WHERE datname = current_database()))
        """;

    /// <summary>The tables of JobLocks, without the rows of an ended session whose process id the server has used again.
    /// A role that may not see when other sessions began reads those rows too.</summary>
    public const string Tables =
        """
        ,
             sessions AS (
                 SELECT s.backend, s.connected
                 FROM   "joblocks".sessions AS s
                 JOIN   alive AS a ON a.pid = s.backend AND coalesce(a.backend_start, s.connected) = s.connected),
             holders AS (SELECT h.* FROM "joblocks".holders AS h JOIN sessions AS s ON s.backend = h.backend AND s.connected = h.connected),
             names AS NOT MATERIALIZED (SELECT * FROM "joblocks".names),
             waiters AS NOT MATERIALIZED (SELECT * FROM "joblocks".wait_queue)
        """;

    /// <summary>Each holder of each lock. PostgreSQL hashes a full join even if the table statistics are out of date: a nested loop would run thousands of
    /// times.</summary>
    public const string Holding =
        """
        ,
             holding AS (
                 SELECT l.*, h.name_key, h.name, h.run, h.since, h.store, h.waiting_since
                 FROM   locks AS l
                 FULL   JOIN holders AS h ON h.backend = l.pid AND h.key = l.key
                 WHERE  coalesce(l.pid, 0) > 0)
        """;

    /// <summary>The names for which runs wait, with the number of runs and the first entry number; and the stores of waiting runs without a process.</summary>
    public const string Queues =
        $"""
        ,
             queues AS MATERIALIZED (SELECT key, count(*) AS length, min(entry) AS first FROM waiters WHERE verdict IS NULL GROUP BY key),
             stores AS (
                 (SELECT store FROM waiters ORDER BY store LIMIT 1)
                 UNION ALL
                 SELECT (SELECT l.store FROM waiters AS l WHERE l.store > s.store ORDER BY l.store LIMIT 1)
                 FROM   stores AS s
                 WHERE  s.store IS NOT NULL),
             unserved AS MATERIALIZED (SELECT store FROM stores AS l WHERE store IS NOT NULL AND NOT {PresenceSql.IsServed})
        """;

    /// <summary>How many of the runs that wait for the name p are in a store that no process serves. Reads their rows only if there is one.</summary>
    public const string CountUnserved =
        """
        CASE WHEN EXISTS (SELECT FROM unserved)
             THEN (SELECT count(*) FROM waiters AS u WHERE u.key = p.key AND u.verdict IS NULL AND u.store IN (SELECT store FROM unserved))
             ELSE 0
        END
        """;

    private const string NoTables =
        """
        ,
             sessions AS (SELECT NULL::int AS backend, NULL::timestamptz AS connected WHERE false),
             holders AS (SELECT NULL::int AS backend, NULL::bigint AS number, NULL::bigint AS key, NULL::bigint AS name_key, NULL::text AS name, NULL::text AS run,
                             NULL::timestamptz AS since, NULL::text AS release_requested_by, NULL::text AS store, NULL::timestamptz AS waiting_since WHERE false),
             names AS (SELECT NULL::bigint AS key, NULL::text AS name, NULL::bigint AS runs, NULL::float8 AS held WHERE false),
             waiters AS (SELECT NULL::bigint AS key, NULL::bigint AS entry, NULL::text AS name, NULL::text AS verdict, NULL::timestamptz AS since, NULL::text AS store WHERE false)
        """;

    /// <summary>Changes a statement so that it runs on empty tables, where the schema cannot be read.</summary>
    public static string WithoutSchema(string sql) => sql.Replace(Tables, NoTables, StringComparison.Ordinal);
}
