namespace JobLocks.Postgres.Reading;

/// <summary>
/// Statements that write the read model, from which the inspection reads. They run on the lock session, behind its guard: $1 is JSON, and so is each returned
/// row.
/// </summary>
internal static class ReadModelSql
{
    /// <summary>
    /// Registers the session of a backend for an application. Removes the rows that ended sessions have left. Without the right to see backend_start, a row
    /// of an ended session is kept while another session has its process id. Rows of this backend that are still known stay: a release may have been
    /// requested in them. After SET ROLE, a session may not see its own backend_start. So the statement resets the role, until the end of the transaction, to
    /// read it.
    /// </summary>
    public const string RegisterSession =
        """
        WITH alive AS MATERIALIZED (SELECT pid, backend_start FROM pg_stat_get_activity(NULL)),
             dead AS (
                 DELETE FROM "joblocks".sessions AS s
                 WHERE  s.backend <> ($1 -> 'backend')::int
                 AND    NOT EXISTS (SELECT FROM alive AS a WHERE a.pid = s.backend AND coalesce(a.backend_start, s.connected) = s.connected)),
             left_behind AS (
                 DELETE FROM "joblocks".holders AS h
                 WHERE  (h.backend = ($1 -> 'backend')::int AND h.number <> ALL (ARRAY(SELECT jsonb_array_elements($1 -> 'known')::bigint)))
                 OR     NOT EXISTS (SELECT FROM alive AS a WHERE a.pid = h.backend AND coalesce(a.backend_start, h.connected) = h.connected))
        INSERT INTO "joblocks".sessions (backend, connected, application)
        SELECT a.pid,
               coalesce(
                   a.backend_start,
                   CASE WHEN set_config('role', 'none', true) IS NOT NULL THEN (SELECT o.backend_start FROM pg_stat_get_activity(pg_backend_pid()) AS o) END),
               $1 ->> 'application'
        FROM   alive AS a
        WHERE  a.pid = ($1 -> 'backend')::int
        ON CONFLICT (backend) DO UPDATE SET connected = excluded.connected, application = excluded.application
        RETURNING NULL::jsonb
        """;

    /// <summary>Removes the rows of locks that a backend has released, and inserts those of locks that it has held for at least 0.25 s.</summary>
    public const string WriteHeld =
        """
        WITH gone AS (DELETE FROM "joblocks".holders WHERE backend = ($1 -> 'backend')::int AND number IN (SELECT jsonb_array_elements($1 -> 'gone')::bigint))
        INSERT INTO "joblocks".holders (backend, connected, number, key, name_key, name, run, since, store, waiting_since)
        SELECT s.backend, s.connected, n.*
        FROM   "joblocks".sessions AS s,
               jsonb_to_recordset($1 -> 'fresh')
                   AS n (number bigint, key bigint, name_key bigint, name text, run text, since timestamptz, store text, waiting_since timestamptz)
        WHERE  s.backend = ($1 -> 'backend')::int
        ON CONFLICT (backend, number) DO NOTHING
        RETURNING NULL::jsonb
        """;

    /// <summary>Removes some rows of a backend, whose locks are released now.</summary>
    public const string RemoveRows =
        """
        DELETE FROM "joblocks".holders
        WHERE  backend = ($1 -> 'backend')::int
        AND    number IN (SELECT jsonb_array_elements($1 -> 'gone')::bigint)
        RETURNING NULL::jsonb
        """;

    /// <summary>The numbers of the rows of the backend $1, and 0 for its session.</summary>
    public const string WrittenRows =
        """
        SELECT to_jsonb(number) FROM "joblocks".holders WHERE backend = $1::int
        UNION ALL
        SELECT to_jsonb(0) FROM "joblocks".sessions WHERE backend = $1::int
        """;

    /// <summary>
    /// The locks of the backend $1 whose release is requested, the person or program that requests it, and the database role that wrote the request.
    /// </summary>
    public const string ReleaseRequests =
        """SELECT jsonb_build_object('Number', number, 'By', release_requested_by, 'Role', release_requested_role) FROM "joblocks".holders WHERE backend = $1::int AND release_requested_by IS NOT NULL""";

    /// <summary>
    /// Adds to the statistics of names. In the order of the keys, so that two processes cannot deadlock. The list of the newest runs must be empty.
    /// </summary>
    public const string AddStatistics = NewStatistics + AddTotals;

    /// <summary>As <see cref="AddStatistics"/>, and writes the newest runs of each name, in the same minute.</summary>
    public const string AddStatisticsAndRuns = NewStatistics + TimelineSql.AddRuns + AddTotals;

    private const string NewStatistics =
        """
        WITH new AS MATERIALIZED (
                 SELECT *
                 FROM   jsonb_to_recordset($1) AS t (key bigint, name text, runs bigint, held float8, free float8, refused bigint, waited bigint, ended jsonb)
                 ORDER  BY key),
             of_minute AS (
                 INSERT INTO "joblocks".minutes AS m (key, minute, runs, recorded, held, free, refused, waited)
                 SELECT key, date_trunc('minute', now()), runs, CASE WHEN jsonb_array_length(ended) > 0 THEN runs ELSE 0 END, held, free, refused, waited FROM new
                 ON CONFLICT (key, minute) DO UPDATE
                 SET    runs = m.runs + excluded.runs, recorded = m.recorded + excluded.recorded, held = m.held + excluded.held, free = m.free + excluded.free,
                        refused = m.refused + excluded.refused, waited = m.waited + excluded.waited)
        """;

    private const string AddTotals =
        """

        INSERT INTO "joblocks".names AS n (key, name, seen, runs, held, refused, waited)
        SELECT key, name, now(), runs, held, refused, waited FROM new
        ON CONFLICT (key) DO UPDATE
        SET    name = excluded.name, seen = excluded.seen, runs = n.runs + excluded.runs, held = n.held + excluded.held,
               refused = n.refused + excluded.refused, waited = n.waited + excluded.waited
        RETURNING NULL::jsonb
        """;

    /// <summary>Removes the names that were not seen for the longest time, and keeps about $1 of them.</summary>
    public const string ForgetNames =
        """
        DELETE FROM "joblocks".names
        WHERE seen < (SELECT seen FROM "joblocks".names ORDER BY seen DESC OFFSET $1::int LIMIT 1)
        RETURNING NULL::jsonb
        """;

    /// <summary>Removes the minutes that are older than an hour.</summary>
    public const string ForgetMinutes =
        """DELETE FROM "joblocks".minutes WHERE minute < now() - interval '1 hour' RETURNING NULL::jsonb""";
}
