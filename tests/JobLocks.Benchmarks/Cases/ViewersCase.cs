using System.Diagnostics;
using System.Globalization;
using JobLocks.Benchmarks.Measuring;
using JobLocks.Benchmarks.Results;
using JobLocks.Benchmarks.Waiting;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace JobLocks.Benchmarks.Cases;

/// <summary>
/// What does it cost the runs of a process that a hundred viewers load its pages again as fast as they are answered? The viewers are in the same process:
/// what they cost is counted, too.
/// </summary>
internal sealed class ViewersCase : ICase
{
    private const int Viewers = 100;
    private const int Waiting = 30_000;
    private const double LeastShare = 0.9;
    private const string Name = "looked-at-0";

    // Longer than what the pages may take before they are held back.
    private static readonly TimeSpan LeastTurn = TimeSpan.FromSeconds(6);

    string ICase.Name => "viewers";

    public bool TakesLong => true;

    public async Task<IReadOnlyList<Row>> RunAsync(Bench bench, CancellationToken stop)
    {
        Bench.Say("viewers");
        await using var line = await BareQueue.OpenAsync(bench.Database, "viewers", stop);
        await using var app = await ServeAsync(line.Locks, stop);
        await line.FillAsync(Waiting, "looked-at-", names: 1, stop);
        line.Serve();
        (await line.EnterAsync(await line.NextAsync(stop), stop)).Dispose();

        await WorkAsync(bench, line, stop);
        var turns = await Rounds.InTurnAsync<(double Pairs, double Woken)>(bench.Effort.Rounds, [() => WorkWatchedAsync(bench, line, app, stop), () => WorkAsync(bench, line, stop)], stop);
        return
        [
            Compare("take and release, 100 viewers", "pairs/s", turns, static turn => turn.Pairs),
            Compare("wait, be woken and leave, 100 viewers", "runs/s", turns, static turn => turn.Woken),
        ];
    }

    private static Row Compare(string metric, string unit, IReadOnlyList<IReadOnlyList<(double Pairs, double Woken)>> turns, Func<(double Pairs, double Woken), double> of) => new()
    {
        Case = "viewers",
        Peer = "no viewers",
        Metric = metric,
        Unit = unit,
        Ours = Spread.Of(turns[0].Select(of)),
        Theirs = Spread.Of(turns[1].Select(of)),
        Goal = Goal.RatioAtLeast(LeastShare),
    };

    private static async Task<WebApplication> ServeAsync(AdvisoryLocks locks, CancellationToken stop)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        builder.Services.AddSingleton(locks.Inspector);
        var app = builder.Build();
        app.MapJobLocks().AllowAnonymous();
        await app.StartAsync(stop);
        return app;
    }

    private static async Task<(double Pairs, double Woken)> WorkWatchedAsync(Bench bench, BareQueue line, WebApplication app, CancellationToken stop)
    {
        using var over = CancellationTokenSource.CreateLinkedTokenSource(stop);
        using var client = new HttpClient { BaseAddress = new(app.Urls.Single()) };
        var viewers = Task.WhenAll(Enumerable.Range(0, Viewers).Select(i => ViewAsync(client, PathOf(i), over.Token)));
        var done = await WorkAsync(bench, line, stop);
        await over.CancelAsync();
        var pages = (await viewers).Sum();
        Bench.Say(string.Create(CultureInfo.InvariantCulture, $"{pages} pages"));
        return done;
    }

    /// <summary>As people look when something goes wrong: a third of them at the overview, a third at one name, and each of the rest for something of his own.</summary>
    private static string PathOf(int viewer) => (viewer % 3) switch
    {
        0 => "/joblocks",
        1 => $"/joblocks/names/{LockKey.Of(Name)}",
        _ => string.Create(CultureInfo.InvariantCulture, $"/joblocks/search?q=ed-at-{viewer}"),
    };

    private static async Task<int> ViewAsync(HttpClient client, string path, CancellationToken over)
    {
        var seen = 0;
        try
        {
            for (; ; seen++)
            {
                using var answer = await client.GetAsync(new Uri(path, UriKind.Relative), over);
                await answer.Content.ReadAsStringAsync(over);
            }
        }
        catch (OperationCanceledException) when (over.IsCancellationRequested)
        {
            return seen;
        }
    }

    private static async Task<(double Pairs, double Woken)> WorkAsync(Bench bench, BareQueue line, CancellationToken stop)
    {
        var most = Math.Max(bench.Effort.Turn.TotalMilliseconds, LeastTurn.TotalMilliseconds);
        var began = Stopwatch.GetTimestamp();
        var pairs = PairsAsync();
        var woken = WokenAsync();
        return (await pairs, await woken);

        bool IsOver() => Stopwatch.GetElapsedTime(began).TotalMilliseconds >= most;

        double PerSecond(int count) => count * 1000 / Stopwatch.GetElapsedTime(began).TotalMilliseconds;

        async Task<double> PairsAsync()
        {
            var count = 0;
            for (; !IsOver(); count++) await using (await line.Locks.TryAcquireAsync("one more", stop) ?? throw new WrongAnswerException()) { }
            return PerSecond(count);
        }

        async Task<double> WokenAsync()
        {
            var count = 0;
            for (; !IsOver(); count++) await using (await line.EnterAsync(await line.NextAsync(stop), stop)) { }
            return PerSecond(count);
        }
    }
}
