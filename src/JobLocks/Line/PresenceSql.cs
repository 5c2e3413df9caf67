namespace JobLocks.Line;

/// <summary>
/// Which stores are served: each process that can start runs of a store holds a shared advisory lock for it on its lock session, and so it is gone with
/// the process. "JLst" in ASCII. Both sides have the same server compute the second number, so it does not matter how it does that.
/// </summary>
internal static class PresenceSql
{
    /// <summary>
    /// Whether the row l of the wait queue belongs to a store that a process serves. The lock table is read once in a statement, and
    /// only if the statement comes to such a row.
    /// </summary>
    public const string IsServed =
        """
        hashtext(l.store) = ANY (ARRAY(
            SELECT objid::int
            FROM   pg_locks
            WHERE  locktype = 'advisory'
            AND    objsubid = 2
            AND    classid = 1246524276
            AND    granted
            AND    database = (SELECT datid FROM pg_stat_get_activity(pg_backend_pid()))))
        """;

    /// <summary>This session serves the store $1. Answers its backend; null where a stranger's lock is in the way.</summary>
    public const string Show = "SELECT to_jsonb(CASE WHEN pg_try_advisory_lock_shared(1246524276, hashtext($1 #>> '{}')) THEN pg_backend_pid() END)";

    /// <summary>This session does not serve the store $1 any more.</summary>
    public const string Hide = "SELECT to_jsonb(pg_advisory_unlock_shared(1246524276, hashtext($1 #>> '{}'))::int)";
}
