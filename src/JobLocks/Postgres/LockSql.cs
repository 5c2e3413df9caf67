namespace JobLocks.Postgres;

/// <summary>All that is asked of PostgreSQL about a lock.</summary>
internal static class LockSql
{
    /// <summary>
    /// Limits that a role or a database may carry would end a statement, or a session that idles while its runs work.
    /// Answers whether the server is a standby: its locks are its own, and the primary grants the same keys to others.
    /// </summary>
    public const string Prepare =
        """
        SELECT pg_is_in_recovery(),
               set_config('statement_timeout', '0', false),
               set_config('lock_timeout', '0', false),
               set_config('idle_session_timeout', '0', false)
        """;

    /// <summary>Takes the key $1 if no other session has it. Re-entrant: the session's own hold does not refuse.</summary>
    public const string TryTake = "SELECT pg_try_advisory_lock($1)";

    /// <summary>Gives back one hold of the key $1; false when this session had none.</summary>
    public const string Release = "SELECT pg_advisory_unlock($1)";

    public const string Heartbeat = "SELECT 1";

    /// <summary>
    /// Who holds the key $1 in this database. pg_locks shows a bigint key in two halves (objsubid = 1),
    /// see https://www.postgresql.org/docs/current/view-pg-locks.html
    /// </summary>
    public const string Holder =
        """
        SELECT   l.pid, a.application_name, host(a.client_addr), a.backend_start
        FROM     pg_locks l
        LEFT     JOIN pg_stat_activity a USING (pid)
        WHERE    l.locktype = 'advisory'
        AND      l.objsubid = 1
        AND      l.granted
        AND      l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND      (l.classid::bigint << 32) | l.objid::bigint = $1
        ORDER BY a.backend_start
        LIMIT    1
        """;
}
