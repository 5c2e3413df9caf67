using System.Net;
using System.Text.Json;

namespace JobLocks.AspNetCore.Tests;

/// <summary>The timeline on the page of a name, the samples on the overview, and both in the JSON.</summary>
[TestFixture, CancelAfter(60_000)]
public sealed class PlotTests
{
    private const string Name = "order:42";

    private static readonly string NamePage = $"/joblocks/names/{LockKey.Of(Name)}";

    [Test]
    public async Task Shows_a_bar_for_each_run_of_a_name_and_marks_the_gap(CancellationToken stop)
    {
        await using var site = await Site.StartAsync();
        using var held = await site.HoldAsync(Name, "Hangfire job 1188");
        await site.ParkAsync(Name, "4711");
        await RecordAsync(site, "Hangfire job 1187", waited: 20, held: 10, released: 6);
        await site.WrittenDownAsync(stop);

        var page = await site.GetAsync(NamePage);
        var name = JsonDocument.Parse(await site.GetAsync($"/joblocks/api/v1/names/{LockKey.Of(Name)}")).RootElement.GetProperty("timeline");

        using (Assert.EnterMultipleScope())
        {
            Assert.That(page, Does.Contain("<title>Hangfire job 1187: waited 10 s, held the lock for 4.0 s</title>"));
            Assert.That(page, Does.Match("<title>Hangfire job 1188: has held the lock for [^<]+</title>").And.Match("<title>Hangfire job 4711: has waited for [^<]+</title>"));
            Assert.That(page, Does.Contain("<title>Free for 10 s while runs waited</title>").And.Contain("The lock was free for"));
            Assert.That(name.GetProperty("runs").EnumerateArray().Select(static run => (run.GetProperty("run").GetString(), run.GetProperty("isHolding").GetBoolean())), Is.EqualTo([("Hangfire job 1187", false), ("Hangfire job 1188", true), ("Hangfire job 4711", false)]));
            Assert.That((name.GetProperty("leftOut").GetInt64(), name.GetProperty("isComplete").GetBoolean()), Is.EqualTo((0L, true)));
        }
    }

    [Test]
    public async Task Encodes_the_name_of_a_run()
    {
        await using var site = await Site.StartAsync();
        await site.ParkAsync(Name, "<img src=x>");
        await RecordAsync(site, "<script>alert(1)</script>", waited: 3, held: 2, released: 1);

        var page = await site.GetAsync(NamePage);

        Assert.That(page, Does.Contain("&lt;script&gt;alert(1)&lt;/script&gt;: waited").And.Contain("&lt;img src=x&gt;: has waited").And.Not.Contain("<script>alert").And.Not.Contain("<img src=x>"));
    }

    [Test]
    public async Task Says_that_a_name_has_no_runs_and_that_there_are_no_samples()
    {
        await using var site = await Site.StartAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(await site.GetAsync(NamePage), Does.Contain("No run has held the lock or waited for it in the last minutes."));
            Assert.That(await site.GetAsync("/joblocks"), Does.Contain("No samples of the last hour."));
        }
    }

    [Test]
    public async Task Says_that_the_last_minutes_cannot_be_read()
    {
        await using var site = await Site.StartAsync();
        await site.GetAsync(NamePage);
        await site.AskAsync("ALTER TABLE joblocks.recent_runs RENAME COLUMN held_since TO hidden");

        var page = await site.GetAsync(NamePage);

        Assert.That(page, Does.Contain("The last minutes cannot be shown").And.Contain("<h1><bdi>"));
    }

    [Test]
    public async Task Shows_the_samples_of_the_last_hour()
    {
        await using var site = await Site.StartAsync();
        await site.AskAsync("INSERT INTO joblocks.samples SELECT now() - i * interval '10 s', 8, 5, 2 FROM generate_series(1, 30) AS i");

        var page = await site.GetAsync("/joblocks");
        var overview = JsonDocument.Parse(await site.GetAsync("/joblocks/api/v1/overview")).RootElement;

        using (Assert.EnterMultipleScope())
        {
            Assert.That(page, Does.Contain("aria-label=\"Held locks: 8 at the last sample, at most 8.\"").And.Contain("aria-label=\"Names whose lock is free while runs wait: 2 at the last sample, at most 2.\""));
            Assert.That(overview.GetProperty("samples").GetArrayLength(), Is.EqualTo(30));
            Assert.That(overview.GetProperty("samples")[0].GetProperty("freeWhileWaiting").GetInt64(), Is.EqualTo(2));
        }
    }

    [TestCase("plots.css"), TestCase("plots-dark.css")]
    public async Task Serves_the_styles_of_the_plots(string file)
    {
        await using var site = await Site.StartAsync();

        var answer = await site.Client.GetAsync(new Uri($"/joblocks/{file}", UriKind.Relative));

        using (Assert.EnterMultipleScope())
        {
            Assert.That(answer.StatusCode, Is.EqualTo(HttpStatusCode.OK));
            Assert.That(answer.Content.Headers.ContentType!.MediaType, Is.EqualTo("text/css"));
            Assert.That(await answer.Content.ReadAsStringAsync(), Does.Contain("--jl-hold"));
            Assert.That(await site.GetAsync("/joblocks"), Does.Contain($"href=\"/joblocks/{file}\"").And.Not.Contain(" style="));
        }
    }

    /// <summary>Records a run that did this so many seconds ago, as a process does.</summary>
    private static Task<object?> RecordAsync(Site site, string run, int waited, int held, int released) => site.AskAsync(
        $"""
        WITH counted AS (INSERT INTO joblocks.minutes (key, minute, runs, held, refused, waited) VALUES ({LockKey.Of(Name)}, date_trunc('minute', now()), 1, 1, 0, 0))
        INSERT INTO joblocks.recent_runs
        SELECT {LockKey.Of(Name)}, '{run}', now() - interval '{waited} s', now() - interval '{held} s', now() - interval '{released} s', now()
        """);
}
