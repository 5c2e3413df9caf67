using Npgsql;

namespace ClientSync;

/// <summary>How it went for one client.</summary>
internal sealed record ClientResult(int ClientId, long Reports, long Runs, long Waits, long Skipped, long Rescheduled, long Failed);

/// <summary>How it went, read from the tables when all runs have ended.</summary>
internal sealed record Verdict(IReadOnlyList<ClientResult> Clients, long Imported, long Expected, long Duplicates, long Overlaps, TimeSpan MedianGap, double FreeWhileWaiting, TimeSpan Time)
{
    public bool IsClean => Imported == Expected && Duplicates == 0 && Overlaps == 0;

    public static async Task<Verdict> ReadAsync(NpgsqlDataSource database, StrikeFeed feed, TimeSpan time, CancellationToken stop)
    {
        var clients = new List<ClientResult>();
        await using (var command = database.CreateCommand(Tables.ByClient))
        await using (var reader = await command.ExecuteReaderAsync(stop))
        {
            while (await reader.ReadAsync(stop))
                clients.Add(new(reader.GetInt32(0), reader.GetInt64(1), reader.GetInt64(2), reader.GetInt64(3), reader.GetInt64(4), reader.GetInt64(5), reader.GetInt64(6)));
        }

        return new(
            clients,
            (long)(await database.AskAsync(Tables.CountReports, stop))!,
            feed.Count,
            (long)(await database.AskAsync(Tables.CountDuplicates, stop))!,
            (long)(await database.AskAsync(Tables.CountOverlaps, stop))!,
            TimeSpan.FromMilliseconds((double)(await database.AskAsync(Tables.MedianGap, stop))!),
            (double)(await database.AskAsync(Tables.FreeWhileWaiting, stop))!,
            time);
    }

    public int ExitCode(bool expectDamage) => (expectDamage ? Duplicates + Overlaps > 0 : IsClean) ? 0 : 1;
}
