using System.Text.Json;
using JobLocks.Postgres.Locks;
using Npgsql;
using static JobLocks.Postgres.Reading.InspectionParameters;
using static JobLocks.Postgres.Reading.InspectionRows;

namespace JobLocks.Postgres.Reading;

/// <summary>Reads everything that the overview shows, in one statement. Thread-safe.</summary>
internal sealed class OverviewReading(LockDispatcher dispatcher, InspectionReader reader, InspectionRows rows, ForeignInternalLocks internalLocks)
{
    private const int MaxContendedNames = 10;

    /// <summary>Reads the numbers of the overview, and a part of the held locks and of the names with waiting runs.</summary>
    public async Task<LockSnapshot> ReadAsync(int heldSkip, int waitingSkip, int take, CancellationToken stop)
    {
        var (parts, hasNames) = await reader.QueryAsync(
            OverviewSql.Read, ReadPart, stop, Number(heldSkip), Number(take), Number(waitingSkip), Number(take), Number(MaxContendedNames)).ConfigureAwait(false);
        var holders = await ReadInternalLockHoldersAsync(stop).ConfigureAwait(false);
        var (samples, _) = await reader.QuerySchemaAsync(
            TimelineSql.Samples, static row => new LockSample(Instant(row, 0)!.Value, row.GetInt64(1), row.GetInt64(2), row.GetInt64(3)), stop).ConfigureAwait(false);
        var totals = parts[0].Totals;
        var waiting = parts.Where(static row => row.Waiting is not null).ToList();
        return new(
            new(
                totals.At,
                totals.Locks,
                totals.Runs,
                [.. parts.Select(static row => row.Process).OfType<LockProcess>()],
                [.. waiting.Where(static row => row.Rank <= MaxContendedNames).Select(static row => row.Waiting!)],
                hasNames)
            {
                InternalLockHolders = holders,
                Samples = samples,
            },
            new([.. parts.Select(static row => row.Held).OfType<HeldLock>()], totals.Holders),
            new([.. waiting.Where(row => row.Rank > waitingSkip && row.Rank <= waitingSkip + (long)take).Select(static row => row.Waiting!)], totals.Names));
    }

    /// <summary>
    /// In a process with a session, <see cref="InternalLockWatch"/> reads the holders. Otherwise they are read here; the second read confirms them.
    /// </summary>
    private async Task<IReadOnlyList<InternalLockHolder>> ReadInternalLockHoldersAsync(CancellationToken stop)
    {
        if (!dispatcher.Sessions.Capabilities.HasReadModel || internalLocks.IsStale)
        {
            var (readings, _) = await reader.QuerySchemaAsync(
                InternalLockSql.Read, static row => JsonSerializer.Deserialize<InternalLockReading>(row.GetString(0)), stop).ConfigureAwait(false);
            if (readings is [{ } reading]) internalLocks.Update(reading);
        }

        return internalLocks.Holders;
    }

    private Part ReadPart(NpgsqlDataReader row)
    {
        var totals = new Totals(Instant(row, 0)!.Value, row.GetInt64(1), row.GetInt64(2), row.GetInt64(3), row.GetInt64(4));
        return (row.IsDBNull(5) ? -1 : row.GetInt32(5)) switch
        {
            OverviewSql.ProcessRow => new(totals, Process: rows.ReadProcess(row, 10, locks: 21)),
            OverviewSql.HeldRow => new(totals, Held: rows.ReadHeld(row, 6).Item),
            OverviewSql.WaitingRow => new(totals, row.GetInt64(23), Waiting: new(
                new(row.GetInt64(20)), Name(row, 8)!, row.GetInt64(21), Instant(row, 22)!.Value, row.IsDBNull(10) ? null : rows.ReadHolder(row, 10, store: 19), UsualHold(row, 17))
            {
                Unserved = row.GetInt64(24),
            }),
            _ => new(totals),
        };
    }

    /// <summary>The columns that are the same in all rows: how many locks, holders, names with waiting runs, and waiting runs there are.</summary>
    private sealed record Totals(DateTimeOffset At, long Locks, long Holders, long Names, long Runs);

    private sealed record Part(Totals Totals, long Rank = 0, LockProcess? Process = null, HeldLock? Held = null, WaitingName? Waiting = null);
}
