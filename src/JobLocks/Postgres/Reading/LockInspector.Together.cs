using System.Text.Json;
using JobLocks.Inspection;
using JobLocks.Primitives;
using Npgsql;

namespace JobLocks.Postgres.Reading;

/// <content>What is shown on one page, and so is read at one moment.</content>
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
        return _looks.InOneSnapshotAsync(snapshot => ReadNameAsync(snapshot, key, skip, take, run, stop), stop);
    }

    private async Task<LockSnapshot> ReadSnapshotAsync(int heldSkip, int waitingSkip, int take, CancellationToken stop)
    {
        var (rows, hasNames) = await _looks.AskAsync(
            OverviewSql.Read, ReadPart, stop, Number(heldSkip), Number(take), Number(waitingSkip), Number(take), Number(MostPressed)).ConfigureAwait(false);
        var holders = await ReadInternalLockHoldersAsync(stop).ConfigureAwait(false);
        var totals = rows[0].Totals;
        var waiting = rows.Where(static row => row.Waiting is not null).ToList();
        return new(
            new(
                totals.At,
                totals.Locks,
                totals.Runs,
                [.. rows.Select(static row => row.Process).OfType<LockProcess>()],
                [.. waiting.Where(static row => row.Position <= MostPressed).Select(static row => row.Waiting!)],
                hasNames)
            {
                InternalLockHolders = holders,
            },
            new([.. rows.Select(static row => row.Held).OfType<HeldLock>()], totals.Holders),
            new([.. waiting.Where(row => row.Position > waitingSkip && row.Position <= waitingSkip + (long)take).Select(static row => row.Waiting!)], totals.Names));
    }

    /// <summary>A process that takes locks looks by itself. One that only shows them looks here, and is certain at its second look.</summary>
    private async Task<IReadOnlyList<InternalLockHolder>> ReadInternalLockHoldersAsync(CancellationToken stop)
    {
        if (!_dispatcher.HasReadModel || _internalLocks.IsStale)
        {
            var (looks, _) = await _looks.AskSchemaAsync(InternalLockSql.Look, static row => JsonSerializer.Deserialize<InternalLockLook>(row.GetString(0)), stop).ConfigureAwait(false);
            if (looks is [{ } look]) _internalLocks.Take(look);
        }

        return _internalLocks.Holders;
    }

    private async Task<NamedLock> ReadNameAsync(LookReader snapshot, LockKey key, int skip, int take, string? run, CancellationToken stop)
    {
        var held = await ReadHeldUnderAsync(snapshot, key, stop).ConfigureAwait(false);
        var waiting = await ReadLineAsync(snapshot, key, skip, take, stop).ConfigureAwait(false);
        var (names, _) = await snapshot.AskSchemaAsync(
            LookSql.Name,
            static row => (Name: Name(row, 0), Runs: row.GetInt64(1), Usual: Usual(row, 1), Refused: row.GetInt64(3), Waited: row.GetInt64(4)),
            stop,
            Key(key)).ConfigureAwait(false);
        var (minutes, _) = await snapshot.AskSchemaAsync(
            LookSql.Minutes,
            static row => new LockMinute(Instant(row, 0)!.Value, row.GetInt64(1), TimeSpan.FromSeconds(row.GetDouble(2)), row.GetInt64(3), row.GetInt64(4)),
            stop,
            Key(key)).ConfigureAwait(false);
        var known = names.FirstOrDefault();
        var name = known.Name ?? held.Select(static one => one.Name).OfType<string>().FirstOrDefault() ?? waiting.Items.Select(static one => one.Name).FirstOrDefault();
        return new(key, name, held, waiting, known.Runs, known.Usual, known.Refused, known.Waited, minutes)
        {
            Explanation = string.IsNullOrEmpty(run) ? null : await ExplainAsync(snapshot, run, store: null, ReadHoldersAsync, stop).ConfigureAwait(false),
        };

        // No snapshot holds for the lock table: what was read of it is not read again.
        Task<IReadOnlyList<HeldLock>> ReadHoldersAsync(LockKey waited) => waited == key ? Task.FromResult(held) : ReadHeldUnderAsync(snapshot, waited, stop);
    }

    private static async Task<string?> ExplainAsync(LookReader reader, string run, string? store, Func<LockKey, Task<IReadOnlyList<HeldLock>>> holders, CancellationToken stop)
    {
        var (stands, _) = await reader.AskSchemaAsync(
            LookSql.Stands,
            static row => new WaitExplanation(
                new(row.GetInt64(0)), row.GetString(1), Instant(row, 2)!.Value, Turn(row, 3), row.GetInt64(4) + 1, row.GetInt64(5), Usual(row, 6))
            {
                IsServed = row.GetBoolean(8),
            },
            stop,
            Text(run.Replace('\0', '\uFFFD')),
            TextOrNull(store)).ConfigureAwait(false);
        if (stands is [var standing]) return standing.Explain(await holders(standing.Key).ConfigureAwait(false));

        var (has, _) = await reader.AskAsync(
            LookSql.Has, static row => (Name: row.GetString(0), Since: Instant(row, 1)!.Value), stop, Text(DisplayText.OneLine(run)), TextOrNull(store)).ConfigureAwait(false);
        return has is [var held] ? $"holds {DisplayText.Name(held.Name)} since {DisplayText.Instant(held.Since)}" : null;
    }

    private async Task<IReadOnlyList<HeldLock>> ReadHeldUnderAsync(LookReader reader, LockKey key, CancellationToken stop) =>
        Page(await reader.AskAsync(LookSql.HeldUnder, row => ReadHeld(row), stop, Key(key)).ConfigureAwait(false)).Items;

    private static async Task<LockPage<QueuedRun>> ReadLineAsync(LookReader reader, LockKey key, int skip, int take, CancellationToken stop) =>
        Page(await reader.AskSchemaAsync(LookSql.Line, row => ReadJob(row, key), stop, Key(key), Number(skip), Number(take)).ConfigureAwait(false));

    private Part ReadPart(NpgsqlDataReader row)
    {
        var totals = new Totals(Instant(row, 0)!.Value, row.GetInt64(1), row.GetInt64(2), row.GetInt64(3), row.GetInt64(4));
        return (row.IsDBNull(5) ? -1 : row.GetInt32(5)) switch
        {
            OverviewSql.IsProcess => new(totals, Process: ReadProcess(row, 10, locks: 21)),
            OverviewSql.IsHeld => new(totals, Held: ReadHeld(row, 6).Item),
            OverviewSql.IsWaiting => new(totals, row.GetInt64(23), Waiting: new(
                new(row.GetInt64(20)), Name(row, 8)!, row.GetInt64(21), Instant(row, 22)!.Value, row.IsDBNull(10) ? null : ReadHolder(row, 10, store: 19), Usual(row, 17))
            {
                Unserved = row.GetInt64(24),
            }),
            _ => new(totals),
        };
    }

    /// <summary>What stands in every row: how many locks, holders, names for which runs wait and waiting runs there are.</summary>
    private sealed record Totals(DateTimeOffset At, long Locks, long Holders, long Names, long Runs);

    private sealed record Part(Totals Totals, long Position = 0, LockProcess? Process = null, HeldLock? Held = null, WaitingName? Waiting = null);
}
