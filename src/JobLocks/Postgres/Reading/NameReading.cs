using JobLocks.Inspection;
using JobLocks.Primitives;
using static JobLocks.Postgres.Reading.InspectionParameters;
using static JobLocks.Postgres.Reading.InspectionRows;

namespace JobLocks.Postgres.Reading;

/// <summary>Reads what is known about one lock name, and why a run waits. Thread-safe.</summary>
internal sealed class NameReading(InspectionRows rows)
{
    /// <summary>Reads everything about a name, in one snapshot.</summary>
    public async Task<NamedLock> ReadAsync(InspectionReader snapshot, LockKey key, int skip, int take, string? run, CancellationToken stop)
    {
        var held = await ReadHeldOfKeyAsync(snapshot, key, stop).ConfigureAwait(false);
        var waiting = await ReadQueueAsync(snapshot, key, skip, take, stop).ConfigureAwait(false);
        var (names, _) = await snapshot.QuerySchemaAsync(
            InspectionSql.Statistics,
            static row => (Name: Name(row, 0), Runs: row.GetInt64(1), UsualHold: UsualHold(row, 1), Refused: row.GetInt64(3), Waited: row.GetInt64(4)),
            stop,
            Key(key)).ConfigureAwait(false);
        var (minutes, _) = await snapshot.QuerySchemaAsync(
            InspectionSql.Minutes,
            static row => new LockMinute(Instant(row, 0)!.Value, row.GetInt64(1), TimeSpan.FromSeconds(row.GetDouble(2)), row.GetInt64(3), row.GetInt64(4))
            {
                FreeWhileWaiting = TimeSpan.FromSeconds(row.GetDouble(5)),
            },
            stop,
            Key(key)).ConfigureAwait(false);
        var statistics = names.FirstOrDefault();
        var name = statistics.Name ?? held.Select(static item => item.Name).OfType<string>().FirstOrDefault() ?? waiting.Items.Select(static item => item.Name).FirstOrDefault();
        return new(key, name, held, waiting, statistics.Runs, statistics.UsualHold, statistics.Refused, statistics.Waited, minutes)
        {
            Timeline = await ReadTimelineAsync(snapshot, key, held, skip == 0 ? waiting : null, stop).ConfigureAwait(false),
            Explanation = string.IsNullOrEmpty(run) ? null : await ExplainAsync(snapshot, run, store: null, ReadHoldersAsync, stop).ConfigureAwait(false),
        };

        // A snapshot does not cover the lock table of the server. What was read from it is not read again.
        Task<IReadOnlyList<HeldLock>> ReadHoldersAsync(LockKey waitedKey) => waitedKey == key ? Task.FromResult(held) : ReadHeldOfKeyAsync(snapshot, waitedKey, stop);
    }

    private static async Task<LockTimeline?> ReadTimelineAsync(
        InspectionReader snapshot, LockKey key, IReadOnlyList<HeldLock> held, LockPage<QueuedRun>? firstWaiting, CancellationToken stop)
    {
        var (rows, hasSchema) = await snapshot.QuerySchemaAsync(
            TimelineSql.RecentRuns,
            static row => (At: Instant(row, 0)!.Value, Total: row.GetInt64(1), MissingUntil: Instant(row, 2), Run: row.IsDBNull(6) ? null : new TimelineRun(
                row.GetString(3) is { Length: > 0 } run ? run : null, Instant(row, 4), Instant(row, 5), Instant(row, 6))),
            stop,
            Key(key),
            Number(TimelineReading.MostRuns)).ConfigureAwait(false);
        if (!hasSchema) return null;

        var ended = rows.Select(static row => row.Run).OfType<TimelineRun>().ToList();
        firstWaiting ??= await ReadQueueAsync(snapshot, key, 0, TimelineReading.MostWaiting, stop).ConfigureAwait(false);
        return new TimelineReading(rows[0].At, ended, rows[0].Total) { Delay = ReadModelWriter.LongestDelay, MissingUntil = rows[0].MissingUntil }.Build(held, firstWaiting);
    }

    /// <summary>Says why a run does not start, or which lock it holds; null where neither is known.</summary>
    public static async Task<string?> ExplainAsync(InspectionReader reader, string run, string? store, Func<LockKey, Task<IReadOnlyList<HeldLock>>> readHolders, CancellationToken stop)
    {
        var (waiters, _) = await reader.QuerySchemaAsync(
            InspectionSql.FindWaiter,
            static row => new WaitExplanation(
                new(row.GetInt64(0)), row.GetString(1), Instant(row, 2)!.Value, WokenAt(row, 3), row.GetInt64(4) + 1, row.GetInt64(5), UsualHold(row, 6))
            {
                IsServed = row.GetBoolean(8),
                IsAboutToStart = row.GetBoolean(9),
            },
            stop,
            Text(run.Replace('\0', '\uFFFD')),
            TextOrNull(store)).ConfigureAwait(false);
        if (waiters is [var explanation]) return explanation.Explain(await readHolders(explanation.Key).ConfigureAwait(false));

        var (heldLocks, _) = await reader.QueryAsync(
            InspectionSql.FindHolder, static row => (Name: row.GetString(0), Since: Instant(row, 1)!.Value),
                stop, Text(DisplayText.OneLine(run)), TextOrNull(store)).ConfigureAwait(false);
        return heldLocks is [var held] ? $"holds {DisplayText.Name(held.Name)} since {DisplayText.Instant(held.Since)}" : null;
    }

    /// <summary>Reads the holders of a key.</summary>
    public async Task<IReadOnlyList<HeldLock>> ReadHeldOfKeyAsync(InspectionReader reader, LockKey key, CancellationToken stop) =>
        PageOf(await reader.QueryAsync(InspectionSql.HeldOfKey, row => rows.ReadHeld(row, waitingSince: 15), stop, Key(key)).ConfigureAwait(false)).Items;

    /// <summary>Reads a part of the runs that wait for a key, in order.</summary>
    public static async Task<LockPage<QueuedRun>> ReadQueueAsync(InspectionReader reader, LockKey key, int skip, int take, CancellationToken stop) =>
        PageOf(await reader.QuerySchemaAsync(InspectionSql.WaitersOfKey, row => ReadQueuedRun(row, key), stop, Key(key), Number(skip), Number(take)).ConfigureAwait(false));

    /// <summary>A part of a list, from rows whose first column is the total number.</summary>
    public static LockPage<T> PageOf<T>((List<(long Total, T? Item)> Rows, bool HasSchema) read)
        where T : class => read.Rows.Count == 0 ? new([], 0) : new([.. read.Rows.Select(static row => row.Item).OfType<T>()], read.Rows[0].Total);
}
