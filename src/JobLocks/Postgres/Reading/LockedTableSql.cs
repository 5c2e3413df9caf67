namespace JobLocks.Postgres.Reading;

/// <summary>Which session has an ACCESS EXCLUSIVE lock on a table of JobLocks, or waits for one.</summary>
internal static class LockedTableSql
{
    /// <summary>Of the schema $1: the table, the backend (0 for a prepared transaction), and its application name.</summary>
    public const string Find =
        """
        SELECT   c.relname::text, coalesce(l.pid, 0), a.application_name
        FROM     pg_catalog.pg_locks AS l
        JOIN     pg_catalog.pg_class AS c ON c.oid = l.relation
        JOIN     pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        LEFT     JOIN LATERAL pg_catalog.pg_stat_get_activity(l.pid) AS a ON true
        WHERE    n.nspname = $1
        AND      c.relkind = 'r'
        AND      l.locktype = 'relation'
        AND      l.mode = 'AccessExclusiveLock'
        AND      l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database())
        ORDER BY l.granted DESC, c.relname
        LIMIT    1
        """;
}
