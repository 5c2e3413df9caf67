using System.Globalization;
using JobLocks.Postgres.Schema;

namespace JobLocks.Postgres.WaitQueue;

/// <summary>
/// Conditions that the statements about the wait queue share. An entry precedes later ones while it has no verdict, while its wake has not expired, and
/// while a process serves its store. A woken run that does not start in time is late: it lets the next run pass. A late run also marks its job queue as
/// unserved, for all lock names: the runs of that queue let other runs pass, until one of them starts.
/// </summary>
internal static class WaitQueueSql
{
    /// <summary>Whether the row l precedes later rows. The lock table is read only where the other conditions need it, and once in a statement.</summary>
    public const string Precedes = $"{CanStart} AND NOT EXISTS ({LateRunOfQueue})";

    /// <summary>Whether the row l precedes later rows, without regard to other runs of its job queue.</summary>
    public const string CanStart = $"l.verdict IS NULL AND (l.woken IS NULL OR l.woken > now() - interval '30 s') AND {PresenceSql.IsServed}";

    /// <summary>
    /// Whether the row l counts as a waiting run, for the length of the wait queue and for the rule that limits it. A late run counts, and so do the other
    /// runs of its job queue: only the order passes over them. A run that a person holds back in its store does not count.
    /// </summary>
    public const string Counts = $"l.verdict IS NULL AND coalesce(l.woken <> 'epoch', true) AND {PresenceSql.IsServed}";

    /// <summary>
    /// A late run w of the job queue of the row l: woken, and not started in time. Runs that a person holds back do not count, see
    /// <see cref="WakeSql.MarkHeldBack"/>. Runs marked by <see cref="EntrySql.Dequeue"/> do not count either: another run of their queue has started since.
    /// </summary>
    public const string LateRunOfQueue =
        """
        SELECT FROM "joblocks".line AS w
        WHERE  w.store = l.store AND w.queue = l.queue AND w.woken > 'epoch' AND w.woken < now() - interval '30 s' AND w.verdict IS NULL
        """;

    /// <summary>
    /// Fails where another session has an ACCESS EXCLUSIVE lock on the table, or waits for one. A full lock table fails with the same error, since its own error
    /// would end the connection.
    /// </summary>
    public const string FailIfLocked =
        """
        DO $do$
        BEGIN
            LOCK TABLE "joblocks".line IN ACCESS SHARE MODE NOWAIT;
        EXCEPTION WHEN out_of_memory THEN
            RAISE lock_not_available;
        END $do$
        """;

    /// <summary>Returns the statement with the schema and the wake time-out of these options. Without a schema, the statement must not need one.</summary>
    public static string For(JobLocksOptions options, string sql) => (options.Schema is { } schema ? SchemaSql.For(schema, sql) : sql)
        .Replace("interval '30 s'", $"interval '{options.WakeTimeout.TotalMilliseconds.ToString("0", CultureInfo.InvariantCulture)} ms'", StringComparison.Ordinal);
}
