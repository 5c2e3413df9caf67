namespace JobLocks.Postgres.WaitQueue;

/// <summary>
/// Which stores are served. Each process that can start runs of a store holds a shared advisory lock for it on its lock session, so the lock ends with the
/// process. Its first number is "JLst" in ASCII; where another program holds that lock exclusively, "JLs1" to "JLs9"; and where it holds all of these, a
/// random one of 65,536 numbers. The second number is a hash. The same server computes it for all processes, so its formula does not matter.
/// </summary>
internal static class PresenceSql
{
    /// <summary>
    /// Whether the row l of the wait queue belongs to a store that a process serves. The setting "joblocks.served" lists the stores that this process announces
    /// itself: on the lock session it lasts as long as the locks, and on a pooled connection <see cref="SetServed"/> writes it. For other stores the lock table is read, which takes longer than the rest of the
    /// statement: once in a statement, and only if the statement needs it for a row.
    /// </summary>
    public const string IsServed =
        """
        (hashtext(l.store) = ANY (string_to_array(coalesce(current_setting('joblocks.served', true), ''), ',')::int[])
         OR hashtext(l.store) = ANY (ARRAY(
            SELECT objid::int
            FROM   pg_locks
            WHERE  locktype = 'advisory'
            AND    objsubid = 2
            AND    (classid = 1246524276 OR classid BETWEEN 1246524209 AND 1246524217 OR classid BETWEEN 1246560256 AND 1246625791)
            AND    mode = 'ShareLock'
            AND    granted
            AND    database = (SELECT datid FROM pg_stat_get_activity(pg_backend_pid())))))
        """;

    /// <summary>Sets the setting "joblocks.served" of a pooled connection to the stores $1.</summary>
    public const string SetServed =
        "SELECT set_config('joblocks.served', coalesce((SELECT string_agg(hashtext(s)::text, ',') FROM unnest($1::text[]) AS s), ''), false)";

    /// <summary>
    /// Announces that this session serves the store $1. Returns its backend, and the first number of the lock: where another program holds the first lock
    /// exclusively, the first free one of nine substitutes, or the first that succeeds of sixteen random numbers. Returns no row where none is free.
    /// Adds the store to the setting "joblocks.served".
    /// </summary>
    public const string Announce =
        """
        WITH RECURSIVE announced (attempt, class) AS (
                 SELECT 0, CASE WHEN pg_try_advisory_lock_shared(1246524276, hashtext($1 #>> '{}')) THEN 1246524276 END
                 UNION ALL
                 SELECT attempt + 1, CASE WHEN pg_try_advisory_lock_shared(next, hashtext($1 #>> '{}')) THEN next END
                 FROM   (SELECT attempt, CASE WHEN attempt < 9 THEN 1246524209 + attempt ELSE 1246560256 + floor(random() * 65536)::int END AS next
                         FROM   announced
                         WHERE  class IS NULL AND attempt < 25
                         OFFSET 0) AS tried)
        SELECT jsonb_build_object(
                   'Backend', pg_backend_pid(),
                   'Class', class,
                   'Served', set_config('joblocks.served', concat_ws(',', nullif(current_setting('joblocks.served', true), ''), hashtext($1 #>> '{}')), false))
        FROM   announced
        WHERE  class IS NOT NULL
        """;

    /// <summary>
    /// Removes the store $1 from the setting "joblocks.served", and any other store with the same hash: the lock table still shows that one. A statement of its
    /// own before <see cref="Withdraw"/>: if a statement is cancelled, its settings are undone, but its unlocks are not.
    /// </summary>
    public const string Unlist =
        """
        SELECT to_jsonb(set_config(
                   'joblocks.served',
                   array_to_string(array_remove(string_to_array(current_setting('joblocks.served', true), ',')::int[], hashtext($1 #>> '{}')), ','),
                   false))
        """;

    /// <summary>Withdraws the announcement of the store Store, which this session made by the lock Class.</summary>
    public const string Withdraw = "SELECT to_jsonb(pg_advisory_unlock_shared(($1 ->> 'Class')::int, hashtext($1 ->> 'Store'))::int)";
}
