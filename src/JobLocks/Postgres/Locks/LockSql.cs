using System.Globalization;
using JobLocks.Postgres.WaitQueue;

namespace JobLocks.Postgres.Locks;

/// <summary>All that is asked of PostgreSQL about locks.</summary>
internal static class LockSql
{
    /// <summary>The first question on a new connection: which backend answers, and what can it do?</summary>
    public const string Ask =
        """
        SELECT pg_backend_pid(),
               pg_is_in_recovery(),
               current_setting('server_version_num')::int,
               current_setting('max_locks_per_transaction')::bigint
                   * (current_setting('max_connections')::bigint + current_setting('max_prepared_transactions')::bigint)
        """;

    /// <summary>
    /// Limits that a role or a database may carry would end a statement, or a session that idles while its runs work.
    /// The server frees a session it has not heard from for $1 milliseconds (from version 14 on), and its TCP keepalives,
    /// $2 to $4 in seconds and $5 in milliseconds, do so no earlier. A fencing token must survive a crash of the server, and
    /// so its disk is waited for; but not a standby: while a synchronous one is away, every commit would hang, and the heartbeat behind it.
    /// The same few statements come again and again, and planning them takes longer than doing them: once is enough. All tables are looked into
    /// through their indexes, however small they were when that was planned: that makes them seem dear, and none is dear enough to be compiled.
    /// While the session opens, it waits for the locks of other processes that open theirs: fifty that start at once create their functions in one catalog.
    /// </summary>
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
    /// The end of the opening. From here on the session waits for no lock of a table for long: that would hold up the heartbeat.
    /// </summary>
    public const string EndSetUp = "SELECT set_config('lock_timeout', '100', false)";

    /// <summary>
    /// Does $1[i] (see <see cref="OperationCode"/>) with the key $2[i], row after row.
    /// Lock functions stand in CASE branches of the target list only: in a WHERE, or near a sort, PostgreSQL may call them for other rows.
    /// A release is followed by the look for those who wait, in this order: they mark first and then try once more, so no wake-up is lost.
    /// The first numbers of the two-part keys are "JLwt" (somebody waits) and "JLin" (a writer waits) in ASCII.
    /// At the end of its transaction, who tells others waits for all of the server's databases that do so: that may take longer than a table of ours
    /// is waited for.
    /// </summary>
    public const string Batch = Select + Acts + End + From;

    /// <summary>
    /// The same for rows that take slots: of the keys $4, $6[i] of them from $5[i] on are tried one after the other until one is free.
    /// The recursion stops at the first that it gets.
    /// </summary>
    public const string BatchWithSlots = Select + Acts + SlotAct + End + FromWithSlots;

    /// <summary>
    /// <see cref="Batch"/> where runs may stand in the line: a take is refused while somebody stands under its key before the place $3[i].
    /// For 9223372036854775806 the answer holds a new place as well.
    /// </summary>
    public const string BatchInLine = SelectInLine + Acts + End + EndInLine + From;

    /// <summary><see cref="BatchWithSlots"/> where runs may stand in the line.</summary>
    public const string BatchInLineWithSlots = SelectInLine + Acts + SlotAct + End + EndInLine + FromWithSlots;

    /// <summary>
    /// Of the lines $3[i] of what was released, those in which somebody stands, and how often something was released. A statement of its own, since the one that released sees
    /// the line as it was before: who stood there a moment later has seen the lock still held. While other
    /// readers are there, nobody's turn comes: the last of them sees to it. The first condition is a scalar subquery: it reads the index once for each
    /// key. PostgreSQL turns an EXISTS there into a join that reads all rows.
    /// </summary>
    public const string LinesOfReleased =
        """
        SELECT u.b, count(*)::int
        FROM   ROWS FROM (unnest($1::int2[]), unnest($3::bigint[])) AS u (o, b)
        WHERE  u.o IN (1, 3)
        AND    (SELECT true FROM "joblocks".line AS l WHERE l.key = u.b AND l.woken IS NULL LIMIT 1)
        AND    (u.o = 1 OR NOT EXISTS (SELECT
                                       FROM   pg_locks AS h
                                       WHERE  h.locktype = 'advisory'
                                       AND    h.objsubid = 1
                                       AND    h.granted
                                       AND    h.database = (SELECT datid FROM pg_stat_get_activity(pg_backend_pid()))
                                       AND    (h.classid::bigint << 32) | h.objid::bigint = u.b))
        GROUP  BY u.b
        """;

    /// <summary>The statement for the patience that these options allow for: together with a heartbeat it stays well below the loss.</summary>
    public static string For(JobLocksOptions options, string sql) => sql.Replace(
        "'lock_timeout', '2000'",
        $"'lock_timeout', '{Math.Min(2000, (int)(options.LostAfter / 5).TotalMilliseconds).ToString(CultureInfo.InvariantCulture)}'",
        StringComparison.Ordinal);

    private const string Select = "SELECT (";

    private const string SelectInLine =
        $"""
        SELECT CASE WHEN b > 0 AND o IN (0, 2, 4, 9)
                         AND EXISTS (SELECT
                                     FROM   "joblocks".line AS l
                                     WHERE  l.key = u.k
                                     AND    l.place < u.b
                                     AND    {WaitQueueSql.Stands})
                    THEN CASE b WHEN 9223372036854775806 THEN -2 - nextval('"joblocks".place') ELSE -2 END
                    ELSE (
        """;

    private const string EndInLine = " END";

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

    /// <summary>Takes back all that this session shows to others: that somebody waits, or that a writer does.</summary>
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

    /// <summary>What this session holds under <c>bigint</c> keys, after a statement of which nobody knows how far it came.</summary>
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
    /// Who has the most entries of the server's lock table. The name of its role is left out: it is in a shared catalog, which has to be locked, and there is no room for that.
    /// In JSON, for a question of the session.
    /// </summary>
    public const string MostLocks =
        """
        SELECT jsonb_build_object('Backend', l.pid, 'Entries', l.entries, 'Application', a.application_name)
        FROM   (SELECT pid, count(*) AS entries FROM pg_locks WHERE NOT fastpath GROUP BY pid ORDER BY entries DESC LIMIT 1) AS l
        LEFT   JOIN LATERAL pg_stat_get_activity(coalesce(l.pid, 0)) AS a ON true
        """;

    /// <summary>
    /// Who holds one of the keys $1 in this database. pg_locks shows a bigint key in two halves (objsubid = 1),
    /// see https://www.postgresql.org/docs/current/view-pg-locks.html. The function behind pg_stat_activity is asked, and not the view:
    /// the view locks shared catalogs, for which a full lock table has no room.
    /// </summary>
    public const string Holder =
        """
        SELECT   l.pid, a.application_name, host(a.client_addr::inet), a.backend_start
        FROM     pg_locks l
        LEFT     JOIN LATERAL pg_stat_get_activity(l.pid) a ON true
        WHERE    l.locktype = 'advisory'
        AND      l.objsubid = 1
        AND      l.granted
        AND      l.database = (SELECT datid FROM pg_stat_get_activity(pg_backend_pid()))
        AND      (l.classid::bigint << 32) | l.objid::bigint = ANY ($1)
        ORDER BY a.backend_start
        LIMIT    1
        """;

    /// <summary>
    /// Takes the key $1, a bigint, for the caller's own transaction, with which it ends. The search path there is the caller's, so the function is named with its schema.
    /// </summary>
    public const string TakeInTransaction = "SELECT pg_catalog.pg_try_advisory_xact_lock($1)";

    /// <summary>The same for a reader.</summary>
    public const string TakeSharedInTransaction = "SELECT pg_catalog.pg_try_advisory_xact_lock_shared($1)";
}
