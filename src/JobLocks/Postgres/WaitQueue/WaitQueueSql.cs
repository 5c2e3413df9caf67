using System.Globalization;
using JobLocks.Postgres.Schema;

namespace JobLocks.Postgres.WaitQueue;

/// <summary>
/// Conditions that the statements about the wait queue share. An entry precedes later ones while it has no verdict, while its wake has not expired, and
/// while a process serves its store. A woken run that does not start in time is late: later entries bypass it. While a scheduler queue has a
/// late run, the other entries of that scheduler queue do not precede later entries either, under any lock name. This ends when a run of that scheduler queue
/// reaches a worker.
/// </summary>
/// <remarks>
/// The column "entry" is the entry number. The column "verdict" says why the run must not start: its skip reason. The column "slots" is the limit. The column
/// "parked" says whether the job store keeps the run until it is woken. The column "claimed" says whether a process has claimed the delivery of the wake. The values of the column "woken":
/// <list type="table">
/// <item><term>null</term><description>The run was not woken.</description></item>
/// <item><term>a time</term><description>When the run was woken. It is late after the wake time-out.</description></item>
/// <item><term>epoch (1970)</term><description>
/// The run was woken, but it was paused by hand: see <see cref="WakeSql.MarkPaused"/>.
/// </description></item>
/// <item><term>1900-01-01</term><description>
/// The run was late, but another run of its scheduler queue has reached a worker since, see <c>EntrySql.MarkLateRuns</c>. It no longer keeps the other runs of
/// its scheduler queue from preceding later entries.
/// </description></item>
/// </list>
/// </remarks>
internal static class WaitQueueSql
{
    /// <summary>Whether the row l precedes later rows. The lock table is read only where the other conditions need it, and once in a statement.</summary>
    public const string Precedes = $"{CanStart} AND NOT EXISTS ({LateRunOfQueue})";

    /// <summary>
    /// Whether the row l precedes later rows, without regard to other runs of its scheduler queue. A woken run that is not parked is in a worker and starts at once; if
    /// it does not, its process was killed, and it is late sooner.
    /// </summary>
    public const string CanStart = $"l.verdict IS NULL AND (l.woken IS NULL OR l.woken > now() - CASE WHEN l.parked THEN interval '30 s' ELSE least(interval '30 s', interval '5 s') END) AND {PresenceSql.IsServed}";

    /// <summary>
    /// Whether the row l counts as a waiting run, for the length of the wait queue and for the rule that limits it. A late run counts, and so do the other
    /// runs of its scheduler queue: later entries only bypass them. A run that was paused by hand does not count.
    /// </summary>
    public const string Counts = $"l.verdict IS NULL AND coalesce(l.woken <> 'epoch', true) AND {PresenceSql.IsServed}";

    /// <summary>
    /// A late run w of the scheduler queue of the row l: woken, and not started in time. Runs that were paused by hand do not count, see
    /// <see cref="WakeSql.MarkPaused"/>. Runs marked by <c>EntrySql.MarkLateRuns</c> do not count either: another run of their scheduler queue has reached a
    /// worker since.
    /// </summary>
    public const string LateRunOfQueue =
        """
        SELECT FROM "joblocks".wait_queue AS w
        WHERE  w.store = l.store AND w.queue = l.queue AND w.woken > 'epoch' AND w.woken < now() - interval '30 s' AND w.verdict IS NULL
        """;

    /// <summary>
    /// Fails where another session has an ACCESS EXCLUSIVE lock on the table, or waits for one. A full lock table fails with the same error, since its own
    /// error would end the connection.
    /// </summary>
    public const string FailIfLocked =
        """
        DO $do$
        BEGIN
            LOCK TABLE "joblocks".wait_queue IN ACCESS SHARE MODE NOWAIT;
        EXCEPTION WHEN out_of_memory THEN
            RAISE lock_not_available;
        END $do$
        """;

    /// <summary>Returns the statement with the schema and the wake time-out of these options. Without a schema, the statement must not need one.</summary>
    public static string For(JobLocksOptions options, string sql) => (options.Schema is { } schema ? SchemaSql.For(schema, sql) : sql)
        .Replace("interval '30 s'", $"interval '{options.WakeTimeout.TotalMilliseconds.ToString("0", CultureInfo.InvariantCulture)} ms'", StringComparison.Ordinal);
}
