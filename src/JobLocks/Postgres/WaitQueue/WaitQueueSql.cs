using System.Globalization;
using JobLocks.Postgres.Schema;

namespace JobLocks.Postgres.WaitQueue;

/// <summary>
/// What the statements about the line share. A row stands before others while it has no verdict, while its turn, if it has come, is not over, and
/// while a process serves its store: a woken run that does not come within that time lets the next one past. It marks its queue as unserved for all lock
/// names: the runs of the queue let others past, until one of them comes.
/// </summary>
internal static class WaitQueueSql
{
    /// <summary>Whether the row l of the line stands before others. Asks the lock table only where such a row is found, and once in a statement.</summary>
    public const string Stands = $"{MayCome} AND NOT EXISTS ({Late})";

    /// <summary>The same without regard to the queue of the row.</summary>
    public const string MayCome = $"l.verdict IS NULL AND (l.woken IS NULL OR l.woken > now() - interval '30 s') AND {PresenceSql.IsServed}";

    /// <summary>
    /// Whether the row l counts as a waiting run, for the length of the wait queue and for what its rule keeps. A woken run that did not start in time
    /// counts, and so do the others of its queue: only the order passes them over. A run that is held back in its store does not.
    /// </summary>
    public const string Counts = $"l.verdict IS NULL AND coalesce(l.woken <> 'epoch', true) AND {PresenceSql.IsServed}";

    /// <summary>
    /// A woken run w of the queue of the row l that did not come in time. Paused runs do not count, see <see cref="WakeSql.EndTurn"/>. Runs that
    /// are marked do not count either: another run of their queue has started since.
    /// </summary>
    public const string Late =
        """
        SELECT FROM "joblocks".line AS w
        WHERE  w.store = l.store AND w.queue = l.queue AND w.woken > 'epoch' AND w.woken < now() - interval '30 s' AND w.verdict IS NULL
        """;

    /// <summary>An error where somebody has the table to himself, or waits for that. The same for a full lock table, whose own error would end the connection.</summary>
    public const string CanLook =
        """
        DO $do$
        BEGIN
            LOCK TABLE "joblocks".line IN ACCESS SHARE MODE NOWAIT;
        EXCEPTION WHEN out_of_memory THEN
            RAISE lock_not_available;
        END $do$
        """;

    /// <summary>The statement for the schema and the length of a turn that these options say. Without a schema, it is one that needs none.</summary>
    public static string For(JobLocksOptions options, string sql) => (options.Schema is { } schema ? SchemaSql.For(schema, sql) : sql)
        .Replace("interval '30 s'", $"interval '{options.TurnLasts.TotalMilliseconds.ToString("0", CultureInfo.InvariantCulture)} ms'", StringComparison.Ordinal);
}
