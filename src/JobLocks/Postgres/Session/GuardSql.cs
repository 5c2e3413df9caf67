using JobLocks.Postgres.Locks;
using JobLocks.Postgres.WaitQueue;
using Npgsql;

namespace JobLocks.Postgres.Session;

/// <summary>
/// The statement of <see cref="LockSql"/> as a function of this session alone. The driver takes "out of shared memory" for the end of a
/// connection, and with it all locks would be gone: so a full lock table is caught here, where session locks survive it, and answered with -1.
/// </summary>
internal static class GuardSql
{
    /// <summary>
    /// What makes the functions, each in a command of its own: the driver would send several on the thread pool. Those without the line are made, too:
    /// when it is no longer there, the lock table may have no room for whoever makes some.
    /// </summary>
    public static void Create(NpgsqlConnection connection, JobLocksOptions options, bool hasWaitQueue)
    {
        string[] functions = [CreatePlain, CreateWithSlots, CreateAsk];
        foreach (var sql in hasWaitQueue ? [.. functions, WaitQueueSql.For(options, CreateInLine), WaitQueueSql.For(options, CreateInLineWithSlots)] : functions)
        {
            using var create = new NpgsqlCommand(LockSql.For(options, sql), connection);
            create.ExecuteNonQuery();
        }
    }

    /// <summary>For operations without slots.</summary>
    public const string CreatePlain = Head + Body + LockSql.Batch + Tail;

    /// <summary>For operations with slots.</summary>
    public const string CreateWithSlots = HeadWithSlots + Body + LockSql.BatchWithSlots + Tail;

    /// <summary>The same where runs may stand in the line. Where no run waits for a key of the operations, it costs one look into an index more.</summary>
    public const string CreateInLine = HeadInLine + BodyInLine + LockSql.BatchInLine + Otherwise + LockSql.Batch + ThenLines + LockSql.LinesOfReleased + TailInLine;

    /// <inheritdoc cref="CreateInLine"/>
    public const string CreateInLineWithSlots =
        HeadInLineWithSlots + BodyInLine + LockSql.BatchInLineWithSlots + Otherwise + LockSql.BatchWithSlots + ThenLines + LockSql.LinesOfReleased + TailInLine;

    /// <summary>
    /// For what is no operation on locks, but needs room in the lock table all the same: whatever writes does, for its transaction. There the
    /// full table is an error of another kind, which ends no connection. So is every error of class 53, such as that of a full disk: the driver takes all of them for the end of a
    /// connection. What is written so is for those who look: no lock waits for the disk
    /// on its account, and the last second of it may go with a crash.
    /// </summary>
    public const string CreateAsk =
        """
        CREATE OR REPLACE FUNCTION pg_temp.joblocks_ask(question text, given jsonb) RETURNS SETOF jsonb LANGUAGE plpgsql
        SET search_path = pg_catalog, pg_temp AS $guard$
        BEGIN
            PERFORM set_config('synchronous_commit', 'off', true);
            RETURN QUERY EXECUTE question USING given;
        EXCEPTION
            WHEN out_of_memory THEN
                RAISE program_limit_exceeded USING MESSAGE = 'the lock table is full', HINT = 'Raise max_locks_per_transaction.';
            WHEN insufficient_resources THEN
                RAISE program_limit_exceeded USING MESSAGE = SQLSTATE || ': ' || SQLERRM;
        END $guard$
        """;

    /// <summary><see cref="CreateAsk"/>, called.</summary>
    public const string Ask = "SELECT * FROM pg_temp.joblocks_ask($2, $1)";

    /// <summary><see cref="CreatePlain"/>, called.</summary>
    public const string Batch = "SELECT r, pid FROM pg_temp.joblocks_batch($1, $2, $3)";

    /// <summary><see cref="CreateWithSlots"/>, called.</summary>
    public const string BatchWithSlots = "SELECT r, pid FROM pg_temp.joblocks_batch($1, $2, $3, $4, $5, $6)";

    /// <summary><see cref="CreateInLine"/>, called.</summary>
    public const string BatchInLine = "SELECT r, pid FROM pg_temp.joblocks_batch_in_line($1, $2, $3)";

    /// <summary><see cref="CreateInLineWithSlots"/>, called.</summary>
    public const string BatchInLineWithSlots = "SELECT r, pid FROM pg_temp.joblocks_batch_in_line($1, $2, $3, $4, $5, $6)";

    private const string Head = CreateBatch + "(int2[], bigint[], bigint[])" + Returns;

    private const string HeadWithSlots = CreateBatch + "(int2[], bigint[], bigint[], bigint[], int[], int[])" + Returns;

    private const string HeadInLine = CreateBatch + "_in_line(int2[], bigint[], bigint[])" + Returns;

    private const string HeadInLineWithSlots = CreateBatch + "_in_line(int2[], bigint[], bigint[], bigint[], int[], int[])" + Returns;

    private const string CreateBatch = "CREATE OR REPLACE FUNCTION pg_temp.joblocks_batch";

    private const string Returns = " RETURNS TABLE (r bigint, pid int) LANGUAGE plpgsql AS $guard$\n";

    private const string Body = "BEGIN RETURN QUERY ";

    private const string Tail = ";\n" + Caught;

    // Through the index, and from its young end: a line that was long leaves dead rows behind until they are vacuumed.
    public const string SomebodyStands = "(SELECT place FROM \"joblocks\".line ORDER BY place DESC LIMIT 1) IS NOT NULL";

    // Where the line is empty, no key is looked for.
    public const string SomebodyStandsForKeys = SomebodyStands + " AND EXISTS (SELECT FROM \"joblocks\".line AS l WHERE l.key = ANY ($2))";

    private const string SomebodyStandsForReleased = SomebodyStands + " AND EXISTS (SELECT FROM \"joblocks\".line AS l WHERE l.key = ANY ($3))";

    private const string BodyInLine = "BEGIN IF " + SomebodyStandsForKeys + " THEN RETURN QUERY ";

    private const string Otherwise = ";\nELSE RETURN QUERY ";

    private const string ThenLines = ";\nEND IF; IF $1 && '{1,3}'::int2[] AND " + SomebodyStandsForReleased + " THEN RETURN QUERY ";

    private const string TailInLine = ";\nEND IF; " + Caught;

    private const string Caught = "EXCEPTION WHEN out_of_memory THEN RETURN QUERY SELECT -1::bigint, pg_backend_pid(); END $guard$";
}
