using JobLocks.Hangfire.Tests.Support;

namespace JobLocks.Hangfire.Tests;

/// <summary>The plots in Hangfire's own dashboard.</summary>
[TestFixture]
public sealed class DashboardPlotTests : RealServers
{
    [Test, CancelAfter(60_000)]
    public async Task Shows_the_timeline_of_a_name_and_encodes_the_names_of_runs(CancellationToken stop)
    {
        var stage = NewStage();
        var job = Servers.EnqueueFor<StoppableJob>(Servers[0], run => run.Run(stage.Id, CancellationToken.None));
        await stage.EnteredAsync(stop);
        await Servers.Locks.RunAsync(
            "INSERT INTO joblocks.recent_runs SELECT $1, '<b>earlier</b>', now() - interval '9 s', now() - interval '8 s', now() - interval '6 s', now()", stage.Key.Value);
        await using var site = await DashboardSite.StartAsync(Servers[0].Storage);

        var page = await site.GetAsync($"/hangfire/joblocks/names/{stage.Key}");
        stage.LetLeave();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(page, Does.Match($"<title>Hangfire job {job}: has held the lock for [^<]+</title>"));
            Assert.That(page, Does.Contain("<title>&lt;b&gt;earlier&lt;/b&gt;: waited 1.0 s, held the lock for 2.0 s</title>").And.Not.Contain("<b>earlier"));
            Assert.That(page, Does.Contain("class=\"jl-plot\"").And.Contain("role=\"img\"").And.Contain("waits</span>"));
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Shows_the_samples_that_a_hangfire_server_takes(CancellationToken stop)
    {
        await using var site = await DashboardSite.StartAsync(Servers[0].Storage);

        string page;
        do page = await site.GetAsync("/hangfire/joblocks");
        while (!page.Contains("aria-label=\"Held locks: ", StringComparison.Ordinal) && !stop.IsCancellationRequested);

        Assert.That(page, Does.Contain("aria-label=\"Waiting runs: ").And.Contain("aria-label=\"Names whose lock is free while runs wait: "));
    }

    [TestCase("css-dark"), TestCase("css"), CancelAfter(60_000)]
    public async Task Has_the_colours_of_the_plots(string sheet)
    {
        await using var site = await DashboardSite.StartAsync(Servers[0].Storage);
        var page = await site.GetAsync("/hangfire/joblocks");
        var from = page.IndexOf($"href=\"/hangfire/{sheet}", StringComparison.Ordinal) + "href=\"".Length;

        var address = page[from..page.IndexOf('"', from)];

        Assert.That(await site.GetAsync(address), Does.Contain("--jl-hold"));
    }
}
