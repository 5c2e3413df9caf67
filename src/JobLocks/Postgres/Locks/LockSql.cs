using System.Globalization;
using JobLocks.Postgres.WaitQueue;

namespace JobLocks.Postgres.Locks;

/// <summary>The statements about locks.</summary>
internal static class LockSql
{
    /// <summary>The first query after <see cref="Session.ConnectionSetUp"/>: the backend, whether it is a standby, the version, the size of the lock table, and
    /// whether it only reads although <see cref="Session.ConnectionSetUp"/> allows writes.</summary>
    public const string ReadServerFacts =
        """
        SELECT pg_backend_pid(),
               pg_is_in_recovery(),
               current_setting('server_version_num')::int,
               current_setting('max_locks_per_transaction')::bigint
                   * (current_setting('max_connections')::bigint + current_setting('max_prepared_transactions')::bigint),
               pg_catalog.current_setting('transaction_read_only')::bool
        """;

    /// <summary>Settings of the session, as far as the version of the server has them.</summary>
    /// <remarks>
    /// <list type="table">
    /// <item><term>idle_session_timeout</term><description>
    /// $1, in milliseconds: after this silence the server frees the session. From version 14 on.
    /// </description></item>
    /// <item><term>tcp_keepalives_*, tcp_user_timeout</term><description>
    /// $2 and $3 in seconds, $4 a count, $5 in milliseconds: the keepalives end a dead connection no earlier than the idle time-out does.
    /// </description></item>
    /// <item><term>statement_timeout, idle_in_transaction_session_timeout, transaction_timeout</term><description>
    /// Off. A limit that a role or a database carries would end a statement, or a session that idles while its runs work.
    /// </description></item>
    /// <item><term>lock_timeout</term><description>
    /// 5 seconds while the session opens: fifty processes that start at the same time create their functions in one catalog.
    /// </description></item>
    /// <item><term>plan_cache_mode, enable_seqscan</term><description>
    /// The few statements of the session are planned once, because planning takes longer than running. The plans read all tables through their
    /// indexes, even if the tables were small at that time.
    /// </description></item>
    /// <item><term>jit</term><description>
    /// Off. Without sequential scans the plans have high cost estimates, which would start the JIT compiler.
    /// </description></item>
    /// <item><term>synchronous_commit</term><description>
    /// A fencing token must survive a crash of the server, so the commit waits for the server's own disk. It does not wait for a standby: while a
    /// synchronous standby is unavailable, every commit and the heartbeat would hang.
    /// </description></item>
    /// </list>
    /// </remarks>
    public const string SetUp =
        """
        SELECT set_config(s.name, s.value, false)
        FROM   (VALUES ('idle_session_timeout', $1),
                       ('tcp_keepalives_idle', $2),
                       ('tcp_keepalives_interval', $3),
                       ('tcp_keepalives_count', $4),
                       ('tcp_user_timeout', $5),
                       ('statement_timeout', '0'),
                       ('lock_timeout', '5000'),
                       ('idle_in_transaction_session_timeout', '0'),
                       ('transaction_timeout', '0'),
                       ('plan_cache_mode', 'force_generic_plan'),
                       ('enable_seqscan', 'off'),
                       ('jit', 'off'),
                       ('synchronous_commit', 'local')) AS s (name, value)
        JOIN   pg_settings USING (name)
        """;

    /// <summary>
    /// The end of the opening. From here on, the session waits for a table lock for at most 100 milliseconds, so that the heartbeat is not delayed.
    /// </summary>
    public const string EndSetUp = "SELECT set_config('lock_timeout', '100', false)";

    /// <summary>Runs the operation $1[i] (see <see cref="OperationCode"/>) on the key $2[i], row after row.</summary>
    /// <remarks>
    /// <para>
    /// Evaluation order: lock functions are called only in CASE branches of the target list. In a WHERE clause, or near a sort, PostgreSQL may call
    /// them for other rows.
    /// </para>
    /// <para>
    /// Wake-ups: a release precedes the check for waiters, and a waiter sets its signal before it tries once more. So no wake-up is lost.
    /// </para>
    /// <para>
    /// Signals: the first numbers of the two-part keys are "JLwt" (the waiter signal) and "JLin" (the writer signal) in ASCII.
    /// </para>
    /// <para>
    /// Notifications: at its commit, a transaction that notifies waits for all other transactions of the server that notify, in every database. That
    /// may take longer than the session waits for a table lock, so a notifying transaction has a longer lock_timeout.
    /// </para>
    /// </remarks>
    public const string Batch = Select + Acts + End + From;

    /// <summary>
    /// <see cref="Batch"/> with slots. For an <see cref="OperationCode.AcquireSlot"/>, $6[i] of the keys $4, from $5[i] on, are tried in order until one is
    /// free. The recursion stops at the first lock that is granted.
    /// </summary>
    public const string BatchWithSlots = Select + Acts + SlotAct + End + FromWithSlots;

    /// <summary>
    /// <see cref="Batch"/> with a wait queue: an acquire operation is refused while an entry with a number below $3[i] precedes it in the queue of its key.
    /// For <see cref="EntryLimit.DrawsEntryNumber"/> the answer also contains a new entry number.
    /// </summary>
    public const string BatchWithQueue = SelectWithQueue + Acts + End + EndWithQueue + From;

    /// <summary><see cref="BatchWithSlots"/> with a wait queue.</summary>
    public const string BatchWithQueueAndSlots = SelectWithQueue + Acts + SlotAct + End + EndWithQueue + FromWithSlots;

    /// <summary>
    /// The wait queues $3[i] of the released keys that have entries which were not woken, and the number of releases of each. This is a statement of
    /// its own: the releasing statement sees the queue as it was when it began, and a run that was added a moment later has seen the lock still held.
    /// While other readers hold the lock, no run is woken: the last reader does that. The first condition is a scalar subquery, which reads the index
    /// once for each key. PostgreSQL turns an EXISTS there into a join that reads all rows.
    /// </summary>
    public const string QueuesOfReleased =
        """
        SELECT u.b, count(*)::int
        FROM   ROWS FROM (unnest($1::int2[]), unnest($3::bigint[])) AS u (o, b)
        WHERE  u.o IN (1, 3, 11)
        AND    (SELECT true FROM "joblocks".wait_queue AS l WHERE l.key = u.b AND l.woken IS NULL LIMIT 1)
        AND    (u.o <> 3 OR NOT EXISTS (SELECT
                                        FROM   pg_locks AS h
                                        WHERE  h.locktype = 'advisory'
                                        AND    h.objsubid = 1
                                        AND    h.granted
                                        AND    h.database = (SELECT datid FROM pg_stat_get_activity(pg_backend_pid()))
                                        AND    (h.classid::bigint << 32) | h.objid::bigint = u.b))
        GROUP  BY u.b
        """;

    /// <summary>The statement with a lock_timeout that fits these options: with a heartbeat added, it stays well below LostAfter.</summary>
    public static string For(JobLocksOptions options, string sql) => sql.Replace(
        "'lock_timeout', '2000'",
        $"'lock_timeout', '{Math.Min(2000, (int)(options.LostAfter / 5).TotalMilliseconds).ToString(CultureInfo.InvariantCulture)}'",
        StringComparison.Ordinal);

    private const string Select = "SELECT (";

    private const string SelectWithQueue =
        $"""
        SELECT CASE WHEN b > 0 AND o IN (0, 2, 4, 9)
                         AND EXISTS (SELECT
                                     FROM   "joblocks".wait_queue AS l
                                     WHERE  l.key = u.k
                                     AND    l.entry < u.b
                                     AND    {WaitQueueSql.Precedes})
                    THEN CASE b WHEN 9223372036854775806 THEN -2 - nextval('"joblocks".entry_numbers') ELSE -2 END
                    ELSE (
        """;

    private const string EndWithQueue = " END";

    private const string Acts =
        """
               CASE o
               WHEN 0 THEN pg_try_advisory_lock(k)::int
               WHEN 1 THEN CASE WHEN NOT pg_advisory_unlock(k) THEN 0
                                WHEN pg_try_advisory_xact_lock(1246525300, (k & 2147483647)::int) THEN 1
                                ELSE 2 + length(pg_notify('joblocks', k::text)::text) + 0 * length(set_config('lock_timeout', '2000', true)) END
               WHEN 2 THEN CASE WHEN NOT pg_try_advisory_xact_lock_shared(1246521710, (k & 2147483647)::int) THEN 0
                                ELSE pg_try_advisory_lock_shared(k)::int END
               WHEN 3 THEN CASE WHEN NOT pg_advisory_unlock_shared(k) THEN 0
                                WHEN pg_try_advisory_xact_lock(1246525300, (k & 2147483647)::int) THEN 1
                                ELSE 2 + length(pg_notify('joblocks', k::text)::text) + 0 * length(set_config('lock_timeout', '2000', true)) END
               WHEN 4 THEN pg_try_advisory_xact_lock_shared(1246521710, (k & 2147483647)::int)::int
               WHEN 5 THEN pg_try_advisory_lock_shared(1246525300, (k & 2147483647)::int)::int
               WHEN 6 THEN pg_advisory_unlock_shared(1246525300, (k & 2147483647)::int)::int
               WHEN 7 THEN pg_try_advisory_lock(1246521710, (k & 2147483647)::int)::int
               WHEN 8 THEN pg_advisory_unlock(1246521710, (k & 2147483647)::int)::int
               WHEN 10 THEN nextval(k::oid::regclass)
               WHEN 11 THEN 1
        """;

    private const string SlotAct =
        """

               WHEN 9 THEN (WITH RECURSIVE t (i, ok) AS (
                                SELECT 0, false
                                UNION ALL
                                SELECT i + 1, pg_try_advisory_lock($4[s + i + 1]) FROM t WHERE NOT ok AND i < n)
                            SELECT max(i) FILTER (WHERE ok) FROM t)
        """;

    private const string End =
        """

               END)::bigint
        """;

    private const string From =
        """
        ,
               pg_backend_pid()
        FROM   ROWS FROM (unnest($1::int2[]), unnest($2::bigint[]), unnest($3::bigint[])) AS u (o, k, b)
        """;

    private const string FromWithSlots =
        """
        ,
               pg_backend_pid()
        FROM   ROWS FROM (unnest($1::int2[]), unnest($2::bigint[]), unnest($3::bigint[]), unnest($5::int[]), unnest($6::int[])) AS u (o, k, b, s, n)
        """;

    /// <summary>Clears all signals that this session shows to other processes.</summary>
    public const string ClearSignals =
        """
        SELECT CASE classid
               WHEN 1246525300 THEN pg_advisory_unlock_shared(1246525300, objid::int)
               ELSE pg_advisory_unlock(1246521710, objid::int)
               END
        FROM   pg_locks
        WHERE  locktype = 'advisory'
        AND    objsubid = 2
        AND    granted
        AND    classid IN (1246525300, 1246521710)
        AND    pid = pg_backend_pid()
        """;

    /// <summary>The <c>bigint</c> keys that this session holds, for use after a statement whose effect is unknown.</summary>
    public const string HeldKeys =
        """
        SELECT (classid::bigint << 32) | objid::bigint, mode = 'ShareLock'
        FROM   pg_locks
        WHERE  locktype = 'advisory'
        AND    objsubid = 1
        AND    granted
        AND    pid = pg_backend_pid()
        """;

    /// <summary>
    /// The backend with the most entries of the server's lock table. The name of its role is left out: reading it locks a shared catalog, for which a
    /// full lock table has no room. The answer is JSON, as <see cref="Session.SessionConnection.Query{T}"/> expects.
    /// </summary>
    public const string MostLocks =
        """
        SELECT jsonb_build_object('Backend', l.pid, 'Entries', l.entries, 'Application', a.application_name)
        FROM   (SELECT pid, count(*) AS entries FROM pg_locks WHERE NOT fastpath GROUP BY pid ORDER BY entries DESC LIMIT 1) AS l
        LEFT   JOIN LATERAL pg_stat_get_activity(coalesce(l.pid, 0)) AS a ON true
        """;

    /// <summary>
    /// The holder of one of the keys $1 in this database. pg_locks shows a bigint key in two halves (objsubid = 1), see
    /// https://www.postgresql.org/docs/current/view-pg-locks.html. The query calls the function behind pg_stat_activity instead of using the view:
    /// the view locks shared catalogs, for which a full lock table has no room.
    /// </summary>
    public const string Holder =
        """
        SELECT   coalesce(l.pid, 0), CASE WHEN l.pid IS NULL THEN 'a prepared transaction' ELSE a.application_name END, host(a.client_addr::inet), a.backend_start
        FROM     pg_locks l
        LEFT     JOIN LATERAL pg_stat_get_activity(coalesce(l.pid, 0)) a ON true
        WHERE    l.locktype = 'advisory'
        AND      l.objsubid = 1
        AND      l.granted
        AND      l.database = (SELECT datid FROM pg_stat_get_activity(pg_backend_pid()))
        AND      (l.classid::bigint << 32) | l.objid::bigint = ANY ($1)
        ORDER BY a.backend_start
        LIMIT    1
        """;

    /// <summary>
    /// Acquires the key $1, a bigint, in the caller's transaction, whose end releases it. The search path is the caller's, so the function name is
    /// qualified.
    /// </summary>
    public const string AcquireInTransaction = "SELECT pg_catalog.pg_try_advisory_xact_lock($1)";

    /// <summary>As <see cref="AcquireInTransaction"/>, in shared mode.</summary>
    public const string AcquireSharedInTransaction = "SELECT pg_catalog.pg_try_advisory_xact_lock_shared($1)";
}
