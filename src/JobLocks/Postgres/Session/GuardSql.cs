using JobLocks.Postgres.Locks;
using JobLocks.Postgres.WaitQueue;
using Npgsql;

namespace JobLocks.Postgres.Session;

/// <summary>
/// The statements of <see cref="LockSql"/> as functions of this session. The driver closes a connection on the error "out of shared memory", and all
/// its locks would be lost. So the functions catch a full lock table, which leaves session locks intact, and answer -1.
/// </summary>
internal static class GuardSql
{
    /// <summary>
    /// Creates the functions, each in a command of its own: the driver would send several statements on the thread pool. The functions without the
    /// wait queue are always created: when its table is dropped later, the lock table may have no room to create them.
    /// </summary>
    public static void Create(NpgsqlConnection connection, JobLocksOptions options, bool hasWaitQueue)
    {
        string[] functions = [CreatePlain, CreateWithSlots, CreateQuery, UncontestedSql.Create];
        foreach (var sql in hasWaitQueue ? [.. functions, CreateWithQueue, CreateWithQueueAndSlots, UncontestedSql.CreateWithQueue] : functions)
        {
            using var create = new NpgsqlCommand(LockSql.For(options, WaitQueueSql.For(options, sql)), connection);
            create.ExecuteNonQuery();
        }
    }

    /// <summary>Creates the function for operations without slots.</summary>
    public const string CreatePlain = Head + Body + LockSql.Batch + Tail;

    /// <summary>Creates the function for operations with slots.</summary>
    public const string CreateWithSlots = HeadWithSlots + Body + LockSql.BatchWithSlots + Tail;

    /// <summary>Creates the same function with the wait queue. If no run waits for a key of the operations, this costs one more index lookup.</summary>
    public const string CreateWithQueue = HeadWithQueue + BodyWithQueue + LockSql.BatchWithQueue + Otherwise + LockSql.Batch + ThenReadQueuesOfReleased + LockSql.QueuesOfReleased + TailWithQueue;

    /// <inheritdoc cref="CreateWithQueue"/>
    public const string CreateWithQueueAndSlots =
        HeadWithQueueAndSlots + BodyWithQueue + LockSql.BatchWithQueueAndSlots + Otherwise + LockSql.BatchWithSlots + ThenReadQueuesOfReleased + LockSql.QueuesOfReleased + TailWithQueue;

    /// <summary>
    /// Creates the function for statements that are not lock operations. They need room in the lock table too: a statement that writes locks its
    /// transaction. If the table is full, this function raises an error that closes no connection. The same holds for every error of class 53, such
    /// as a full disk, because the driver closes the connection on each of them. These statements write only what inspection shows and the
    /// declared limits: losing the last second of it does no harm. So their commit does not wait for the disk.
    /// </summary>
    public const string CreateQuery =
        """
        CREATE OR REPLACE FUNCTION pg_temp.joblocks_query(query text, given jsonb) RETURNS SETOF jsonb LANGUAGE plpgsql
        SET search_path = pg_catalog, pg_temp AS $guard$
        BEGIN
            PERFORM set_config('synchronous_commit', 'off', true);
            RETURN QUERY EXECUTE query USING given;
        EXCEPTION
            WHEN out_of_memory THEN
                RAISE program_limit_exceeded USING MESSAGE = 'the lock table is full', HINT = 'Raise max_locks_per_transaction.';
            WHEN insufficient_resources THEN
                RAISE program_limit_exceeded USING MESSAGE = SQLSTATE || ': ' || SQLERRM;
        END $guard$
        """;

    /// <summary>Calls <see cref="CreateQuery"/>.</summary>
    public const string Query = "SELECT * FROM pg_temp.joblocks_query($2, $1)";

    /// <summary>Calls <see cref="CreatePlain"/>.</summary>
    public const string Batch = "SELECT r, pid FROM pg_temp.joblocks_batch($1, $2, $3)";

    /// <summary>Calls <see cref="CreateWithSlots"/>.</summary>
    public const string BatchWithSlots = "SELECT r, pid FROM pg_temp.joblocks_batch($1, $2, $3, $4, $5, $6)";

    /// <summary>Calls <see cref="CreateWithQueue"/>.</summary>
    public const string BatchWithQueue = "SELECT r, pid FROM pg_temp.joblocks_batch_with_queue($1, $2, $3)";

    /// <summary>Calls <see cref="CreateWithQueueAndSlots"/>.</summary>
    public const string BatchWithQueueAndSlots = "SELECT r, pid FROM pg_temp.joblocks_batch_with_queue($1, $2, $3, $4, $5, $6)";

    private const string Head = CreateBatch + "(int2[], bigint[], bigint[])" + Returns;

    private const string HeadWithSlots = CreateBatch + "(int2[], bigint[], bigint[], bigint[], int[], int[])" + Returns;

    private const string HeadWithQueue = CreateBatch + "_with_queue(int2[], bigint[], bigint[])" + Returns;

    private const string HeadWithQueueAndSlots = CreateBatch + "_with_queue(int2[], bigint[], bigint[], bigint[], int[], int[])" + Returns;

    private const string CreateBatch = "CREATE OR REPLACE FUNCTION pg_temp.joblocks_batch";

    private const string Returns = " RETURNS TABLE (r bigint, pid int) LANGUAGE plpgsql AS $guard$\n";

    private const string Body = "BEGIN RETURN QUERY ";

    private const string Tail = ";\n" + Caught;

    // Reads the index from the highest entry number: the other end of a formerly long queue has dead rows until they are vacuumed.
    public const string HasWaiters = "(SELECT entry FROM \"joblocks\".wait_queue ORDER BY entry DESC LIMIT 1) IS NOT NULL";

    // If the wait queue is empty, the keys are not looked up.
    public const string HasWaitersForKeys = HasWaiters + " AND EXISTS (SELECT FROM \"joblocks\".wait_queue AS l WHERE l.key = ANY ($2))";

    private const string ReleasedKeysHaveWaiters = HasWaiters + " AND EXISTS (SELECT FROM \"joblocks\".wait_queue AS l WHERE l.key = ANY ($3))";

    private const string BodyWithQueue = "BEGIN IF " + HasWaitersForKeys + " THEN RETURN QUERY ";

    private const string Otherwise = ";\nELSE RETURN QUERY ";

    private const string ThenReadQueuesOfReleased = ";\nEND IF; IF $1 && '{1,3,11}'::int2[] AND " + ReleasedKeysHaveWaiters + " THEN RETURN QUERY ";

    private const string TailWithQueue = ";\nEND IF; " + Caught;

    private const string Caught = "EXCEPTION WHEN out_of_memory THEN RETURN QUERY SELECT -1::bigint, pg_backend_pid(); END $guard$";
}
