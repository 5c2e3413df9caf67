namespace JobLocks.Postgres.Reading;

/// <summary>
/// Reads the overview in one statement, so that its numbers are consistent: the lock table is read once, since a snapshot does not cover it.
/// </summary>
internal static class OverviewSql
{
    /// <summary>The kind of a row, in the sixth column. Null in the only row where there is nothing to show.</summary>
    public const int ProcessRow = 0;

    /// <inheritdoc cref="ProcessRow"/>
    public const int HeldRow = 1;

    /// <inheritdoc cref="ProcessRow"/>
    public const int WaitingRow = 2;

    /// <summary>
    /// Of the held locks, skips $1 and reads $2. Of the names for which runs wait, skips $3 and reads $4, and always reads the first $5. The first columns are
    /// the same in all rows: the time, and how many locks, holders, names with waiting runs and waiting runs there are.
    /// </summary>
    public const string Read =
        InspectionSources.Locks + InspectionSources.Tables + InspectionSources.Holding + InspectionSources.Queues +
        """
        ,
             lock_counts AS (SELECT pid, count(*) AS held FROM locks GROUP BY pid),
             processes AS (
                 SELECT a.pid, coalesce(c.held, 0) AS held, row_number() OVER (ORDER BY coalesce(c.held, 0) DESC, a.pid) AS rank
                 FROM   alive AS a
                 LEFT   JOIN sessions AS s ON s.backend = a.pid
                 LEFT   JOIN lock_counts AS c ON c.pid = a.pid
                 WHERE  s.backend IS NOT NULL OR c.held > 0
                 ORDER  BY rank
                 LIMIT  100),
             some_held AS (
                 SELECT *, row_number() OVER (ORDER BY since NULLS LAST, pid, key) AS rank
                 FROM   holding
                 ORDER  BY rank
                 OFFSET $1 LIMIT $2),
             page AS MATERIALIZED (
                 SELECT *
                 FROM   (SELECT *, row_number() OVER (ORDER BY length DESC, key) AS rank FROM queues) AS ranked
                 WHERE  rank <= $5 OR (rank > $3 AND rank <= $3::bigint + $4)),
             written AS (SELECT h.* FROM page AS p JOIN holders AS h ON h.name_key = p.key),
             first_holders AS (
                 SELECT DISTINCT ON (p.key) p.key AS waited, l.pid, h.run, h.since, h.store
                 FROM   locks AS l
                 FULL   JOIN written AS h ON h.backend = l.pid AND h.key = l.key
                 JOIN   page AS p ON p.key = coalesce(h.name_key, l.key)
                 WHERE  coalesce(l.pid, 0) > 0
                 ORDER  BY p.key, h.since NULLS LAST),
             parts AS (
                 SELECT 0 AS part, rank, NULL::bigint AS key, NULL::bigint AS name_key, NULL::text AS name, NULL::int AS mode, pid, NULL::text AS run,
                        NULL::timestamptz AS since, NULL::text AS store, NULL::bigint AS waited, held AS count, NULL::timestamptz AS first_since,
                        NULL::bigint AS unserved
                 FROM   processes
                 UNION  ALL
                 SELECT 1, rank, key, name_key, name, mode, pid, run, since, store, NULL, NULL, NULL, NULL
                 FROM   some_held
                 UNION  ALL
                 SELECT 2, p.rank, NULL, NULL, f.name, NULL, h.pid, h.run, h.since, h.store, p.key, p.length, f.since,
        """ + InspectionSources.CountUnserved +
        """

                 FROM   page AS p
                 LEFT   JOIN waiters AS f ON f.entry = p.first
                 LEFT   JOIN first_holders AS h ON h.waited = p.key)
        SELECT t.at, t.locks, t.holders, t.names, t.runs,
               r.part, r.key, r.name_key, coalesce(nullif(r.name, ''), n.name), r.mode, r.pid, r.run, r.since,
               a.application_name, host(a.client_addr::inet), a.backend_start, s.backend IS NULL, n.runs, n.held, r.store, r.waited, r.count, r.first_since, r.rank, r.unserved
        FROM   (SELECT now() AS at, (SELECT count(*) FROM locks) AS locks, (SELECT count(*) FROM holding) AS holders, count(*) AS names,
                       coalesce(sum(length), 0)::bigint AS runs
                FROM   queues) AS t
        LEFT   JOIN parts AS r ON true
        LEFT   JOIN alive AS a ON a.pid = r.pid
        LEFT   JOIN sessions AS s ON s.backend = r.pid
        LEFT   JOIN names AS n ON n.key = coalesce(r.waited, r.name_key, r.key)
        ORDER  BY r.part, r.rank
        """;
}
