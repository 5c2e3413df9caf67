using System.Text.Json;
using JobLocks.Inspection;
using JobLocks.Primitives;
using Npgsql;

namespace JobLocks.Postgres.Reading;

/// <content>Reads everything that one page shows, from one moment.</content>
internal sealed partial class LockInspector
{
    public async Task<LockOverview> GetOverviewAsync(CancellationToken stop = default) => (await ReadSnapshotAsync(0, 0, 0, stop).ConfigureAwait(false)).Overview;

    public Task<LockSnapshot> GetSnapshotAsync(int heldSkip = 0, int waitingSkip = 0, int take = LargestPage, CancellationToken stop = default)
    {
        CheckPage(heldSkip, take);
        CheckPage(waitingSkip, take);
        return ReadSnapshotAsync(heldSkip, waitingSkip, take, stop);
    }

    public Task<NamedLock> GetNameAsync(LockKey key, CancellationToken stop = default) => GetNameAsync(key, 0, LargestPage, run: null, stop);

    public Task<NamedLock> GetNameAsync(LockKey key, int skip, int take, string? run = null, CancellationToken stop = default)
    {
        CheckPage(skip, take);
        return _reader.InOneSnapshotAsync(snapshot => ReadNameAsync(snapshot, key, skip, take, run, stop), stop);
    }

    private async Task<LockSnapshot> ReadSnapshotAsync(int heldSkip, int waitingSkip, int take, CancellationToken stop)
    {
        var (rows, hasNames) = await _reader.QueryAsync(
            OverviewSql.Read, ReadPart, stop, Number(heldSkip), Number(take), Number(waitingSkip), Number(take), Number(MaxContendedNames)).ConfigureAwait(false);
        var holders = await ReadInternalLockHoldersAsync(stop).ConfigureAwait(false);
        var totals = rows[0].Totals;
        var waiting = rows.Where(static row => row.Waiting is not null).ToList();
        return new(
            new(
                totals.At,
                totals.Locks,
                totals.Runs,
                [.. rows.Select(static row => row.Process).OfType<LockProcess>()],
                [.. waiting.Where(static row => row.Position <= MaxContendedNames).Select(static row => row.Waiting!)],
                hasNames)
            {
                InternalLockHolders = holders,
            },
            new([.. rows.Select(static row => row.Held).OfType<HeldLock>()], totals.Holders),
            new([.. waiting.Where(row => row.Position > waitingSkip && row.Position <= waitingSkip + (long)take).Select(static row => row.Waiting!)], totals.Names));
    }

    /// <summary>A process that acquires locks checks their holders on its own. A process that only shows them reads here, and is certain after its second reading.</summary>
    private async Task<IReadOnlyList<InternalLockHolder>> ReadInternalLockHoldersAsync(CancellationToken stop)
    {
        if (!_dispatcher.HasReadModel || _internalLocks.IsStale)
        {
            var (readings, _) = await _reader.QuerySchemaAsync(
                InternalLockSql.Read, static row => JsonSerializer.Deserialize<InternalLockReading>(row.GetString(0)), stop).ConfigureAwait(false);
            if (readings is [{ } reading]) _internalLocks.Update(reading);
        }

        return _internalLocks.Holders;
    }

    private async Task<NamedLock> ReadNameAsync(InspectionReader snapshot, LockKey key, int skip, int take, string? run, CancellationToken stop)
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
            static row => new LockMinute(Instant(row, 0)!.Value, row.GetInt64(1), TimeSpan.FromSeconds(row.GetDouble(2)), row.GetInt64(3), row.GetInt64(4)),
            stop,
            Key(key)).ConfigureAwait(false);
        var statistics = names.FirstOrDefault();
        var name = statistics.Name ?? held.Select(static item => item.Name).OfType<string>().FirstOrDefault() ?? waiting.Items.Select(static item => item.Name).FirstOrDefault();
        return new(key, name, held, waiting, statistics.Runs, statistics.UsualHold, statistics.Refused, statistics.Waited, minutes)
        {
            Explanation = string.IsNullOrEmpty(run) ? null : await ExplainAsync(snapshot, run, store: null, ReadHoldersAsync, stop).ConfigureAwait(false),
        };

        // A snapshot does not cover the lock table of the server. What was read from it is not read again.
        Task<IReadOnlyList<HeldLock>> ReadHoldersAsync(LockKey waitedKey) => waitedKey == key ? Task.FromResult(held) : ReadHeldOfKeyAsync(snapshot, waitedKey, stop);
    }

    private static async Task<string?> ExplainAsync(InspectionReader reader, string run, string? store, Func<LockKey, Task<IReadOnlyList<HeldLock>>> readHolders, CancellationToken stop)
    {
        var (waiters, _) = await reader.QuerySchemaAsync(
            InspectionSql.FindWaiter,
            static row => new WaitExplanation(
                new(row.GetInt64(0)), row.GetString(1), Instant(row, 2)!.Value, WokenAt(row, 3), row.GetInt64(4) + 1, row.GetInt64(5), UsualHold(row, 6))
            {
                IsServed = row.GetBoolean(8),
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

    private async Task<IReadOnlyList<HeldLock>> ReadHeldOfKeyAsync(InspectionReader reader, LockKey key, CancellationToken stop) =>
        Page(await reader.QueryAsync(InspectionSql.HeldOfKey, row => ReadHeld(row), stop, Key(key)).ConfigureAwait(false)).Items;

    private static async Task<LockPage<QueuedRun>> ReadQueueAsync(InspectionReader reader, LockKey key, int skip, int take, CancellationToken stop) =>
        Page(await reader.QuerySchemaAsync(InspectionSql.WaitersOfKey, row => ReadQueuedRun(row, key), stop, Key(key), Number(skip), Number(take)).ConfigureAwait(false));

    private Part ReadPart(NpgsqlDataReader row)
    {
        var totals = new Totals(Instant(row, 0)!.Value, row.GetInt64(1), row.GetInt64(2), row.GetInt64(3), row.GetInt64(4));
        return (row.IsDBNull(5) ? -1 : row.GetInt32(5)) switch
        {
            OverviewSql.IsProcess => new(totals, Process: ReadProcess(row, 10, locks: 21)),
            OverviewSql.IsHeld => new(totals, Held: ReadHeld(row, 6).Item),
            OverviewSql.IsWaiting => new(totals, row.GetInt64(23), Waiting: new(
                new(row.GetInt64(20)), Name(row, 8)!, row.GetInt64(21), Instant(row, 22)!.Value, row.IsDBNull(10) ? null : ReadHolder(row, 10, store: 19), UsualHold(row, 17))
            {
                Unserved = row.GetInt64(24),
            }),
            _ => new(totals),
        };
    }

    /// <summary>The columns that are the same in all rows: how many locks, holders, names with waiting runs, and waiting runs there are.</summary>
    private sealed record Totals(DateTimeOffset At, long Locks, long Holders, long Names, long Runs);

    private sealed record Part(Totals Totals, long Position = 0, LockProcess? Process = null, HeldLock? Held = null, WaitingName? Waiting = null);
}
