using JobLocks;
using Npgsql;

namespace ClientSync;

/// <summary>
/// One sync of one client: reads how far the last one came, fetches what is new, moves the watermark. No unique constraint, no upsert:
/// two of them at once import the same reports twice.
/// </summary>
internal sealed class StrikeImport(NpgsqlDataSource database, StrikeFeed feed, ServerName server)
{
    public async Task SyncAsync(int clientId, string scheduler, CancellationToken stop)
    {
        using var stopOrLost = CancellationTokenSource.CreateLinkedTokenSource(stop, JobLockHandle.Current?.Lost ?? CancellationToken.None);
        await using var connection = await database.OpenConnectionAsync(stopOrLost.Token);

        // The lock keeps others away as long as its connection stands. Should that break unnoticed, this number keeps us from writing late.
        var fence = JobLockHandle.Current?.FencingToken ?? 0;
        var watermark = await connection.AskAsync(Tables.TakeOver, stopOrLost.Token, clientId, fence) as int? ?? throw TooLate(clientId);
        var runId = (long)(await connection.AskAsync(Tables.BeginRun, stopOrLost.Token, clientId, scheduler, server.Name))!;
        while (await feed.PageAsync(clientId, watermark, stopOrLost.Token) is { Count: > 0 } page)
        {
            watermark = page[^1].ReportId;

            // Rows and watermark move together: a run that is cut off here loses nothing and repeats nothing.
            await using var transaction = await connection.BeginTransactionAsync(stopOrLost.Token);
            await InsertAsync(connection, page, runId, stopOrLost.Token);
            if (await MoveWatermarkAsync(connection, clientId, watermark, fence, stopOrLost.Token) == 0) throw TooLate(clientId);
            await connection.AskAsync(Tables.StillRunning, stopOrLost.Token, runId, fence);
            await transaction.CommitAsync(stopOrLost.Token);
        }

        await connection.AskAsync(Tables.StillRunning, stopOrLost.Token, runId, fence);
    }

    private static InvalidOperationException TooLate(int clientId) => new($"Client {clientId} is in the hands of a later run.");

    private static async Task<int> MoveWatermarkAsync(NpgsqlConnection connection, int clientId, int watermark, long fence, CancellationToken stop)
    {
        await using var command = new NpgsqlCommand(Tables.MoveWatermark, connection)
        {
            Parameters = { new() { Value = clientId }, new() { Value = watermark }, new() { Value = fence } },
        };
        return await command.ExecuteNonQueryAsync(stop);
    }

    private static async Task InsertAsync(NpgsqlConnection connection, IReadOnlyList<StrikeReport> page, long runId, CancellationToken stop)
    {
        await using var copy = await connection.BeginBinaryImportAsync(Tables.CopyReports, stop);
        foreach (var report in page)
        {
            await copy.WriteRowAsync(
                stop,
                report.ReportId, report.ClientId, report.FlightDate, report.Airport, report.Aircraft, report.Phase, report.Species, report.Damage, report.TotalCostUsd, runId);
        }

        await copy.CompleteAsync(stop);
    }
}
