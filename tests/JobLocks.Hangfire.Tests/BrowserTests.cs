using Deque.AxeCore.Playwright;
using JobLocks.AspNetCore.Tests;
using JobLocks.Hangfire.Tests.Support;
using Microsoft.Playwright;

namespace JobLocks.Hangfire.Tests;

/// <summary>Both dashboards in a real browser, while two servers work.</summary>
[TestFixture, Category("Browser")]
public sealed class BrowserTests : RealServers
{
    private Browser _browser = null!;

    [OneTimeSetUp]
    public async Task StartBrowser() => _browser = await Browser.StartAsync();

    [OneTimeTearDown]
    public async Task EndBrowser()
    {
        if (_browser is not null) await _browser.DisposeAsync();
    }

    [Test, CancelAfter(120_000)]
    public async Task Follows_a_run_from_waiting_to_running_to_its_end(CancellationToken stop)
    {
        var stage = NewStage();
        var (first, waiting) = await HoldAndWaitAsync(stage, stop);
        await using var site = await DashboardSite.StartAsync(Servers[0].Storage, locks: Servers[0].Locks!.Inspector);
        var name = await OpenAsync(site, $"/joblocks/names/{stage.Key}");
        var job = await OpenAsync(site, $"/hangfire/jobs/details/{waiting}");
        var holder = name.Locator("[data-live=held]");
        var line = name.Locator("[data-live=waiting]");
        var sentence = job.Locator(".js-joblocks p");

        await Assertions.Expect(holder).ToContainTextAsync($"Hangfire job {first} of server-0");
        await Assertions.Expect(line).ToContainTextAsync($"Hangfire {waiting}");
        await Assertions.Expect(sentence).ToContainTextAsync($"waiting for {stage.LockName}, held by Hangfire job {first}");

        stage.Entries.Entries[0].LetLeave();
        await stage.EnteredAsync(stop, nth: 2);
        await Assertions.Expect(holder).ToContainTextAsync($"Hangfire job {waiting} of server-", Patient);
        await Assertions.Expect(line).ToContainTextAsync("No run waits for it.", Patient);
        await Assertions.Expect(sentence).ToContainTextAsync($"holds {stage.LockName} since", Patient);

        stage.LetLeave();
        await Assertions.Expect(holder).ToContainTextAsync("The lock is free.", Patient);
        await Assertions.Expect(job.Locator(".js-joblocks")).ToBeHiddenAsync(new() { Timeout = 30_000 });
    }

    [Test, CancelAfter(120_000)]
    public async Task Can_be_read_by_everybody_on_the_pages_of_Hangfire(CancellationToken stop)
    {
        var stage = NewStage();
        var (_, waiting) = await HoldAndWaitAsync(stage, stop);
        await using var site = await DashboardSite.StartAsync(Servers[0].Storage);
        // What Hangfire itself puts around them is not ours.
        foreach (var (path, part) in new[] { ("/hangfire/joblocks", ".col-md-12"), ($"/hangfire/joblocks/names/{stage.Key}", ".col-md-12"), ($"/hangfire/jobs/details/{waiting}", ".js-joblocks") })
        {
            var page = await OpenAsync(site, path);
            var found = await page.Locator(part).First.RunAxe();

            Assert.That(found.Violations.Where(static one => one.Impact is "serious" or "critical").Select(static one => $"{one.Id}: {one.Help} {string.Join(' ', one.Nodes.Select(static node => node.Html))}"), Is.Empty, path);
        }
    }

    private static LocatorAssertionsToContainTextOptions Patient => new() { Timeout = 30_000 };

    private Task<IPage> OpenAsync(DashboardSite site, string path) => _browser.OpenAsync(new(site.Client.BaseAddress!, path), new() { BypassCSP = true });
}
