namespace JobLocks.Postgres.Locks;

/// <summary>Statements by which two connections find out whether they use one lock table.</summary>
internal static class TransactionPlaceSql
{
    /// <summary>Acquires the two-part key $1, a JSON array, on the lock session.</summary>
    public const string Hold = "SELECT to_jsonb(pg_try_advisory_lock(($1 ->> 0)::int, ($1 ->> 1)::int))";

    /// <summary>Releases it. Answers true if the session held it until now.</summary>
    public const string Release = "SELECT to_jsonb(pg_advisory_unlock(($1 ->> 0)::int, ($1 ->> 1)::int))";

    /// <summary>
    /// Tries to acquire the two-part key $1, $2 in the caller's transaction. The search path is the caller's, so the function name is qualified.
    /// </summary>
    public const string AcquireInTransaction = "SELECT pg_catalog.pg_try_advisory_xact_lock($1, $2)";
}
