using Deque.AxeCore.Playwright;
using Microsoft.Playwright;

namespace JobLocks.AspNetCore.Tests;

/// <summary>The page in a real browser.</summary>
[TestFixture, CancelAfter(90_000), Category("Browser"), FixtureLifeCycle(LifeCycle.SingleInstance), Parallelizable(ParallelScope.None)]
public sealed class BrowserTests
{
    private const string Name = "order:42";

    private Site _site = null!;
    private Browser _browser = null!;

    [OneTimeSetUp]
    public async Task StartBrowser() => _browser = await Browser.StartAsync();

    [OneTimeTearDown]
    public async Task EndBrowser()
    {
        if (_browser is not null) await _browser.DisposeAsync();
    }

    [SetUp]
    public async Task StartSite() => _site = await Site.StartAsync();

    [TearDown]
    public async Task EndSite() => await _site.DisposeAsync();

    [Test]
    public async Task Keeps_itself_up_to_date_without_being_loaded_again(CancellationToken stop)
    {
        var page = await _browser.OpenAsync(At("/joblocks"));
        await page.EvaluateAsync("window.loadedOnce = true");
        await page.GetByText("Nothing is held.").WaitForAsync();

        var held = await _site.HoldAsync(Name);
        await _site.ParkAsync(Name, "4711");
        await page.GetByText("Hangfire job 1187 of billing on web-3 (pid 812)").First.WaitForAsync();
        var waiting = await page.Locator("[data-live=numbers]").InnerTextAsync();
        await held.DisposeAsync();
        await page.GetByText("Nothing is held.").WaitForAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(waiting, Does.Contain("1 held").And.Contain("1 waiting"));
            Assert.That(await page.EvaluateAsync<bool>("window.loadedOnce"), Is.True);
        }
    }

    [Test]
    public async Task Keeps_the_focus_while_it_changes_and_lets_a_holder_be_asked_by_keyboard(CancellationToken stop)
    {
        var held = await _site.HoldAsync(Name);
        held.Lost.UnsafeRegister(static handle => ((JobLockHandle)handle!).Dispose(), held);
        var page = await _browser.OpenAsync(At($"/joblocks/names/{LockKey.Of(Name)}"));
        var button = page.GetByRole(AriaRole.Button, new() { Name = "Ask to let go" });
        await button.FocusAsync();
        await _site.ParkAsync(Name, "4711");
        await page.GetByText("Hangfire job 1187").WaitForAsync();
        await page.GetByText("Hangfire 4711").WaitForAsync();

        Assert.That(await page.EvaluateAsync<string>("document.activeElement.textContent"), Is.EqualTo("Ask to let go"));
        await page.Keyboard.PressAsync("Enter");
        await page.GetByRole(AriaRole.Alert).WaitForAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(await page.GetByRole(AriaRole.Alert).InnerTextAsync(), Is.EqualTo("It was let go."));
            Assert.That(held.Lost.IsCancellationRequested, Is.True);
        }
    }

    [TestCase(ColorScheme.Light, 1200)]
    [TestCase(ColorScheme.Dark, 1200)]
    [TestCase(ColorScheme.Light, 360)]
    public async Task Can_be_read_by_everybody(ColorScheme scheme, int width, CancellationToken stop)
    {
        using var held = await _site.HoldAsync(Name);
        using var longHeld = await _site.HoldAsync(new string('x', 400));
        await _site.ParkAsync(Name, "4711");
        await _site.WrittenDownAsync(stop);
        foreach (var path in new[] { "/joblocks", $"/joblocks/names/{LockKey.Of(Name)}", "/joblocks/search?q=nothing" })
        {
            // The checker brings a script of its own, which the page does not allow.
            var page = await _browser.OpenAsync(At(path), new() { ColorScheme = scheme, ViewportSize = new() { Width = width, Height = 800 }, BypassCSP = true });
            var found = await page.RunAxe();

            using (Assert.EnterMultipleScope())
            {
                Assert.That(found.Violations.Where(static one => one.Impact is "serious" or "critical").Select(static one => $"{one.Id}: {one.Help}"), Is.Empty, path);
                Assert.That(await page.EvaluateAsync<int>("document.documentElement.scrollWidth - document.documentElement.clientWidth"), Is.Zero, $"{path} is wider than the screen");
            }
        }
    }

    [Test]
    public async Task Executes_nothing_of_a_hostile_name(CancellationToken stop)
    {
        const string Hostile = "<script>window.hit=1</script><img src=x onerror=\"window.hit=1\">'\"><svg onload=window.hit=1>";
        using var held = await _site.HoldAsync(Hostile, $"Hangfire job {Hostile}");
        await _site.ParkAsync(Hostile, Hostile);
        await _site.WrittenDownAsync(stop);
        foreach (var path in new[] { "/joblocks", $"/joblocks/names/{LockKey.Of(Hostile)}", $"/joblocks/search?q={Uri.EscapeDataString(Hostile + "?")}" })
        {
            var page = await _browser.OpenAsync(At(path), new() { BypassCSP = true });
            await page.GetByText("<script>window.hit=1</script>").First.WaitForAsync();

            Assert.That(await page.EvaluateAsync<bool>("'hit' in window"), Is.False, path);
        }
    }

    [Test]
    public async Task Can_be_read_without_script(CancellationToken stop)
    {
        using var held = await _site.HoldAsync(Name);
        await _site.WrittenDownAsync(stop);

        var page = await _browser.OpenAsync(At("/joblocks"), new() { JavaScriptEnabled = false });

        Assert.That(await page.Locator("main").InnerTextAsync(), Does.Contain(Name).And.Contain("Hangfire job 1187 of billing on web-3 (pid 812)").And.Match(@"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ"));
    }

    private Uri At(string path) => new(_site.Address, path);
}
