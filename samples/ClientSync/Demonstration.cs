using System.Diagnostics;
using JobLocks.Testing.Postgres;
using Npgsql;

namespace ClientSync;

/// <summary>The parent: prepares the database, starts the servers, offers the work, watches, and tells how it went.</summary>
internal sealed class Demonstration(Settings settings, StrikeFeed feed)
{
    private static readonly TimeSpan LookAgainAfter = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);

    public async Task<int> RunAsync(CancellationToken stop)
    {
        // A server that the user names is used as it is; otherwise one is started for this run.
        var named = Environment.GetEnvironmentVariable("JOBLOCKS_POSTGRES");
        var given = string.IsNullOrWhiteSpace(named) ? null : named;
        await using var started = given is null ? await PostgresServer.StartAsync(stop) : null;
        var connectionString = given ?? started!.ConnectionString;
        await using var database = NpgsqlDataSource.Create(connectionString);
        await database.AskAsync(Tables.Prepare, stop);

        await using var offers = await Offers.PrepareAsync(connectionString, stop);
        Screen.Introduce(settings, feed, started?.Source ?? "the PostgreSQL that JOBLOCKS_POSTGRES names");
        var servers = new List<ServerProcess>();
        try
        {
            for (var i = 1; i <= settings.Servers; i++) servers.Add(await ServerProcess.StartAsync($"server-{i}", connectionString, settings.FeedFile, stop));
            Screen.Present(servers);
            await using var dashboards = settings.HasDashboards ? await Dashboards.StartAsync(connectionString, settings.Port, stop) : null;
            if (dashboards is not null) Screen.Invite([.. dashboards.Addresses, .. servers.Select(static server => server.Metrics)]);

            var time = Stopwatch.StartNew();
            await Screen.WatchAsync(feed.Count, Offered, async progress =>
            {
                await OfferAsync(offers, stop);
                await FollowAsync(database, servers, progress, time, stop);
            });
            var verdict = await Verdict.ReadAsync(database, feed, time.Elapsed, stop);
            Screen.Show(verdict, feed);
            if (dashboards is not null && settings.Stays) await Screen.StayAsync(stop);
            return verdict.ExitCode(expectDamage: settings.Choice == Choice.WithoutLocks);
        }
        finally
        {
            await Task.WhenAll(servers.Select(static server => server.DisposeAsync().AsTask()));
        }
    }

    private int Offered => settings.Rounds * feed.Clients.Count * 2;

    /// <summary>The same client's offers follow each other, so that they meet.</summary>
    private async Task OfferAsync(Offers offers, CancellationToken stop)
    {
        foreach (var clientId in feed.Clients.Keys)
        {
            for (var round = 0; round < settings.Rounds; round++) await offers.OfferAsync(clientId, settings.Choice, stop);
        }
    }

    private async Task FollowAsync(NpgsqlDataSource database, List<ServerProcess> servers, Action<long, long> progress, Stopwatch time, CancellationToken stop)
    {
        while (true)
        {
            var open = (long)(await database.AskAsync(Tables.CountOpenRuns, stop))!;
            progress((long)(await database.AskAsync(Tables.CountReports, stop))!, Offered - open);
            if (open == 0) return;

            if (servers.TrueForAll(static server => server.HasEnded)) throw new InvalidOperationException("All servers have ended, and there is work left.");
            if (time.Elapsed > Patience) throw new TimeoutException($"{open} runs did not end within {Patience}.");
            await Task.Delay(LookAgainAfter, stop);
        }
    }
}
