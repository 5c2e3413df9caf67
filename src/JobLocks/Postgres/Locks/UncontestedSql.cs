using JobLocks.Postgres.Session;

namespace JobLocks.Postgres.Locks;

/// <summary>
/// The statement for the most frequent work of a session: it releases at most one exclusive lock and then acquires one, and no run waits for either of them. A
/// function of the session, as in <see cref="GuardSql"/>. It takes a third of the time of the general statement, because it reads no arrays and returns one
/// number.
/// </summary>
/// <remarks>
/// <para>The answer is the fencing token of the granted lock, or 1 without a fence. Other answers:</para>
/// <list type="table">
/// <item><term>0</term><description>The acquired key is held by another session. The released key is free.</description></item>
/// <item><term>-1</term><description>The lock table is full.</description></item>
/// <item><term>-2</term><description>The released key is free. The acquired key was not tried, because runs wait for one of the two keys.</description></item>
/// <item><term>-3</term><description>As -2, and other processes were notified of the release.</description></item>
/// <item><term>-4</term><description>The key to release was not held. The acquired key was not tried.</description></item>
/// <item><term>-10 - n</term><description>Another backend answers, with the process ID n. Nothing was done.</description></item>
/// </list>
/// <para>
/// The wait queue is read after the release, by a statement of its own: a run that was added to the queue later has seen the lock still held, or requests it
/// again after the release. For the signals and the notification, see <see cref="LockSql.Batch"/>.
/// </para>
/// </remarks>
internal static class UncontestedSql
{
    /// <summary>Creates the function for a session without a wait queue.</summary>
    public const string Create = Head + Release + Acquire;

    /// <summary>Creates the function for a session with a wait queue.</summary>
    public const string CreateWithQueue = HeadWithQueue + Release + RefuseIfRunsWait + Acquire;

    /// <summary>Calls <see cref="Create"/>.</summary>
    public const string Call = "SELECT pg_temp.joblocks_uncontested" + Arguments;

    /// <summary>Calls <see cref="CreateWithQueue"/>.</summary>
    public const string CallWithQueue = "SELECT pg_temp.joblocks_uncontested_with_queue" + Arguments;

    private const string Arguments = "($1, $2, $3, $4, $5, $6)";

    private const string Head = "CREATE OR REPLACE FUNCTION pg_temp.joblocks_uncontested" + Signature;

    private const string HeadWithQueue = "CREATE OR REPLACE FUNCTION pg_temp.joblocks_uncontested_with_queue" + Signature;

    private const string Signature =
        "(releases boolean, released bigint, queue_key bigint, acquired bigint, fence bigint, backend int) RETURNS bigint LANGUAGE plpgsql AS $guard$\n";

    private const string Release =
        """
        BEGIN
            IF pg_backend_pid() <> backend THEN RETURN -10 - pg_backend_pid(); END IF;
            IF releases THEN
                IF NOT pg_advisory_unlock(released) THEN RETURN -4; END IF;
                IF NOT pg_try_advisory_xact_lock(1246525300, (released & 2147483647)::int) THEN
                    PERFORM pg_notify('joblocks', released::text), set_config('lock_timeout', '2000', true);
                    RETURN -3;
                END IF;
            END IF;

        """;

    private const string RefuseIfRunsWait =
        $"""
            IF {GuardSql.HasWaiters}
               AND EXISTS (SELECT FROM "joblocks".wait_queue AS l WHERE l.key = ANY (ARRAY[queue_key, acquired])) THEN
                RETURN -2;
            END IF;

        """;

    private const string Acquire =
        """
            IF NOT pg_try_advisory_lock(acquired) THEN RETURN 0; END IF;
            RETURN CASE fence WHEN 0 THEN 1 ELSE nextval(fence::oid::regclass) END;
        EXCEPTION WHEN out_of_memory THEN
            RETURN -1;
        END $guard$
        """;
}
