namespace JobLocks.Postgres.Reading;

/// <summary>Which programs other than JobLocks hold internal locks of JobLocks.</summary>
internal static class InternalLockSql
{
    /// <summary>
    /// Whether this session is registered as one of JobLocks, and which backends that are not registered hold internal locks: with the role, the application
    /// and the address of each, as far as this role may see them. The pooled connections of a process have its role and its application. A process that uses
    /// no schema, or another one, is recognised by the form of its application name, if its role may insert into the table of the sessions. A session that
    /// holds the set-up lock and waits for a table of the schema is just setting up.
    /// </summary>
    public const string Read =
        """
        WITH alive AS MATERIALIZED (SELECT pid, usesysid, application_name, client_addr, backend_start FROM pg_stat_get_activity(NULL)),
             known AS MATERIALIZED (
                 SELECT a.pid, a.usesysid, a.application_name
                 FROM   "joblocks".sessions AS s
                 JOIN   alive AS a ON a.pid = s.backend AND coalesce(a.backend_start, s.connected) = s.connected),
             locks AS MATERIALIZED (SELECT pid, locktype, database, relation, classid::bigint, objid::int, objsubid, mode, granted FROM pg_locks),
             strange AS (
                 SELECT   l.pid, l.classid::int AS class, l.mode = 'ShareLock' AS shared, jsonb_agg(l.objid ORDER BY l.objid) AS numbers
                 FROM     locks AS l
                 LEFT     JOIN alive AS a ON a.pid = l.pid
                 WHERE    l.locktype = 'advisory'
                 AND      l.objsubid = 2
                 AND      l.granted
                 AND      l.database = (SELECT datid FROM pg_stat_get_activity(pg_backend_pid()))
                 AND      (l.classid IN (1246525300, 1246521710, 1246522478, 1246524279, 1246524276, 1246524259) OR l.classid BETWEEN 1246524209 AND 1246524217
                           OR l.classid BETWEEN 1246560256 AND 1246625791)
                 AND      NOT EXISTS (SELECT FROM known AS k WHERE k.pid = l.pid OR (k.usesysid = a.usesysid AND k.application_name = a.application_name))
                 AND      NOT (coalesce(a.application_name, '') ~ '^.+@[^@:]+:[0-9]{1,9}$'
                               AND has_table_privilege(a.usesysid, '"joblocks".sessions'::regclass, 'INSERT'))
                 AND      NOT (l.classid = 1246524259
                               AND EXISTS (SELECT
                                           FROM   locks AS w
                                           JOIN   pg_class AS c ON c.oid = w.relation
                                           WHERE  w.pid = l.pid AND NOT w.granted AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = '"joblocks".sessions'::regclass)))
                 GROUP BY l.pid, l.classid, l.mode)
        SELECT jsonb_build_object(
                   'IsKnown', EXISTS (SELECT FROM known WHERE pid = pg_backend_pid()),
                   'Holders', coalesce((
                       SELECT jsonb_agg(jsonb_build_object(
                                  'Backend', coalesce(s.pid, 0), 'Class', s.class, 'IsShared', s.shared, 'Numbers', s.numbers,
                                  'Role', CASE WHEN a.usesysid IS NOT NULL THEN pg_get_userbyid(a.usesysid) END,
                                  'Application', a.application_name, 'Address', host(a.client_addr::inet)))
                       FROM   strange AS s
                       LEFT   JOIN alive AS a ON a.pid = s.pid), '[]'::jsonb))
        """;
}
