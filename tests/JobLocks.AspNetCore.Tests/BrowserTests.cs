using System.Globalization;
using Deque.AxeCore.Playwright;
using Microsoft.AspNetCore.Builder;
using Microsoft.Playwright;

namespace JobLocks.AspNetCore.Tests;

/// <summary>The page in a real browser.</summary>
[TestFixture, CancelAfter(90_000), Category("Browser"), FixtureLifeCycle(LifeCycle.SingleInstance), Parallelizable(ParallelScope.None)]
public sealed class BrowserTests
{
    private const string Name = "order:42";

    private static readonly string NamePage = $"/joblocks/names/{LockKey.Of(Name)}";

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
    public async Task EndSite()
    {
        await _browser.CloseAllAsync();
        await _site.DisposeAsync();
    }

    [Test]
    public async Task Keeps_itself_up_to_date_without_being_loaded_again(CancellationToken stop)
    {
        var page = await _browser.OpenAsync(At("/joblocks"));
        await page.EvaluateAsync("window.loadedOnce = true");
        await page.GetByText("No lock is held.").WaitForAsync();

        var held = await _site.HoldAsync(Name);
        await _site.ParkAsync(Name, "4711");
        await page.GetByText("Hangfire job 1187 of billing on web-3 (pid 812)").First.WaitForAsync();
        var waiting = await page.Locator("[data-live=numbers]").InnerTextAsync();
        await held.DisposeAsync();
        await page.GetByText("No lock is held.").WaitForAsync();

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
        var page = await _browser.OpenAsync(At(NamePage));
        var button = page.GetByRole(AriaRole.Button, new() { Name = "Request release" });
        await button.FocusAsync();
        await _site.ParkAsync(Name, "4711");
        await page.GetByText("Hangfire job 1187 of billing").First.WaitForAsync();
        await page.Locator("bdi", new() { HasText = "Hangfire 4711" }).First.WaitForAsync();

        Assert.That(await page.EvaluateAsync<string>("document.activeElement.textContent"), Is.EqualTo("Request release"));
        await page.Keyboard.PressAsync("Enter");
        await page.GetByRole(AriaRole.Alert).WaitForAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(await page.GetByRole(AriaRole.Alert).InnerTextAsync(), Is.EqualTo("It was released."));
            Assert.That(held.Lost.IsCancellationRequested, Is.True);
        }
    }

    [Test]
    public async Task Loses_no_press_of_the_mouse_that_lasts_over_a_refresh(CancellationToken stop)
    {
        using var held = await _site.HoldAsync(Name);
        await _site.WrittenDownAsync(stop);
        var page = await _browser.OpenAsync(At(NamePage));
        var button = page.GetByRole(AriaRole.Button, new() { Name = "Request release" });

        await button.HoverAsync();
        await page.Mouse.DownAsync();
        await LookedAsync(page);
        await page.Mouse.UpAsync();
        await page.GetByRole(AriaRole.Alert).WaitForAsync(new() { Timeout = 15_000 });

        Assert.That(held.Lost.IsCancellationRequested, Is.True);
    }

    [Test]
    public async Task Leaves_in_place_what_did_not_change(CancellationToken stop)
    {
        using var held = await _site.HoldAsync(Name);
        await _site.WrittenDownAsync(stop);
        var page = await _browser.OpenAsync(At(NamePage));
        await LookedAsync(page);
        await page.EvaluateAsync("document.querySelector('[id^=release-]').dataset.mine = 'yes'");

        await LookedAsync(page);

        Assert.That(await page.Locator("[id^=release-]").GetAttributeAsync("data-mine"), Is.EqualTo("yes"));
    }

    [Test]
    public async Task Says_that_it_is_not_up_to_date_where_another_page_is_answered()
    {
        var page = await _browser.OpenAsync(At("/joblocks"));
        var state = page.Locator("#state");
        await page.RouteAsync("**/joblocks", static route => route.FulfillAsync(new() { ContentType = "text/html", Body = "<form>Log in</form>" }));
        await Assertions.Expect(state).ToContainTextAsync("The server answers with another page");

        await page.UnrouteAllAsync();
        await Assertions.Expect(state).ToHaveTextAsync("Up to date");
        await page.RouteAsync("**/joblocks", static route => route.FulfillAsync(new() { Status = 302, Headers = [KeyValuePair.Create("Location", "/joblocks?held=0")] }));

        await Assertions.Expect(state).ToContainTextAsync("The server leads to another page");
    }

    [Test]
    public async Task Says_that_it_is_not_up_to_date_where_the_server_does_not_answer()
    {
        var page = await _browser.OpenAsync(At("/joblocks"));
        var state = page.Locator("#state");
        await page.Clock.InstallAsync();
        await page.ReloadAsync();
        var asked = new TaskCompletionSource();
        await page.RouteAsync("**/joblocks", _ => asked.TrySetResult());

        await page.Clock.RunForAsync(2_000);
        await asked.Task;
        await page.Clock.RunForAsync(30_000);
        await Assertions.Expect(state).ToContainTextAsync("The server does not answer");
        await page.UnrouteAllAsync(new() { Behavior = UnrouteBehavior.IgnoreErrors });
        await page.Clock.RunForAsync(2_000);

        await Assertions.Expect(state).ToHaveTextAsync("Up to date");
    }

    [Test]
    public async Task Says_once_since_when_it_is_not_up_to_date(CancellationToken stop)
    {
        var page = await _browser.OpenAsync(At("/joblocks"));
        await page.EvaluateAsync("window.said = []; new MutationObserver(() => said.push(document.getElementById('state').textContent)).observe(document.getElementById('state'), { childList: true })");
        var asked = 0;
        var enough = new TaskCompletionSource();
        await page.RouteAsync("**/joblocks", route =>
        {
            if (++asked == 4) enough.SetResult();
            return route.AbortAsync();
        });

        await enough.Task.WaitAsync(stop);

        Assert.That(await page.EvaluateAsync<string[]>("said.filter(text => text.startsWith('Not'))"), Has.Length.EqualTo(1));
    }

    [Test]
    public async Task Moves_the_focus_to_the_heading_where_the_row_that_had_it_is_gone(CancellationToken stop)
    {
        var held = await _site.HoldAsync(Name);
        await _site.WrittenDownAsync(stop);
        var page = await _browser.OpenAsync(At("/joblocks"));
        await page.Locator("[data-live=held] a").FocusAsync();

        await held.DisposeAsync();
        await page.GetByText("No lock is held.").WaitForAsync();

        Assert.That(await page.EvaluateAsync<string>("document.activeElement.id"), Is.EqualTo("h-held"));
    }

    [TestCase(ColorScheme.Light, 1200)]
    [TestCase(ColorScheme.Dark, 1200)]
    [TestCase(ColorScheme.Light, 360)]
    public async Task Can_be_read_by_everybody(ColorScheme scheme, int width, CancellationToken stop)
    {
        using var held = await _site.HoldAsync(Name);
        using var longHeld = await _site.HoldAsync(new string('x', 400));
        await _site.AskAsync($"INSERT INTO joblocks.minutes VALUES ({LockKey.Of(Name)}, date_trunc('minute', now()), 3, 9, 1, 2)");
        await _site.ParkAsync(Name, "4711");
        await _site.WrittenDownAsync(stop);
        foreach (var path in new[] { "/joblocks", NamePage, "/joblocks/search?q=nothing" })
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

    [Test]
    public async Task Shows_the_last_hour_as_a_table_to_the_keyboard_and_in_the_zone_of_the_viewer(CancellationToken stop)
    {
        using (await _site.HoldAsync(Name)) await _site.WrittenDownAsync(stop);
        var page = await _browser.OpenAsync(At(NamePage), new() { TimezoneId = "Asia/Tokyo", Locale = "en-GB" });
        var table = page.Locator("#hour-table");
        await table.WaitForAsync(new() { State = WaitForSelectorState.Attached });
        var minute = await table.Locator("time").First.GetAttributeAsync("datetime");

        await table.FocusAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That((await table.BoundingBoxAsync())!.Height, Is.GreaterThan(20), "who has the focus there sees it");
            Assert.That(await table.Locator("time").First.InnerTextAsync(), Does.StartWith(DateTimeOffset.Parse(minute!, CultureInfo.InvariantCulture).ToOffset(TimeSpan.FromHours(9)).ToString("HH:mm:ss", CultureInfo.InvariantCulture)));
        }
    }

    [Test]
    public async Task Does_nothing_for_who_may_only_look_though_his_page_has_the_button_still(CancellationToken stop)
    {
        var isReadOnly = false;
        await using var site = await Site.StartAsync(options: options => options.IsReadOnly = _ => Volatile.Read(ref isReadOnly));
        using var held = await site.HoldAsync(Name);
        await site.WrittenDownAsync(stop);
        var page = await _browser.OpenAsync(new(site.Address, NamePage));
        // As a page that was open before, and is not refreshed.
        await page.RouteAsync($"**{NamePage}", static route => route.AbortAsync());

        Volatile.Write(ref isReadOnly, true);
        await page.GetByRole(AriaRole.Button, new() { Name = "Request release" }).ClickAsync();
        await page.GetByText("You may see the locks, but you may not request their release.").WaitForAsync();

        Assert.That(await site.AskAsync("SELECT count(*) FROM joblocks.holders WHERE release_requested_by IS NOT NULL"), Is.Zero);
    }

    [TestCase("mallory", "The form is too old, or not from this page.")]
    [TestCase(null, "")]
    public async Task Does_nothing_for_another_user_than_the_one_whose_page_it_is(string? other, string answer, CancellationToken stop)
    {
        await using var site = await Site.StartAsync(static page => page.RequireAuthorization());
        using var held = await site.HoldAsync(Name);
        var page = await _browser.OpenAsync(new(site.Address, NamePage), new() { ExtraHTTPHeaders = [KeyValuePair.Create(HeaderAuthentication.Header, "alice")] });
        await page.GetByText("Hangfire job 1187 of billing").First.WaitForAsync();
        await page.RouteAsync($"**{NamePage}", static route => route.AbortAsync());

        await page.SetExtraHTTPHeadersAsync(other is null ? [] : [KeyValuePair.Create(HeaderAuthentication.Header, other)]);
        await page.Context.SetExtraHTTPHeadersAsync([]);
        var posted = page.WaitForResponseAsync(static answer => answer.Request.Method is "POST");
        await page.GetByRole(AriaRole.Button, new() { Name = "Request release" }).ClickAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That((await posted).Status, Is.EqualTo(other is null ? 401 : 400));
            if (answer.Length > 0) await page.GetByText(answer).WaitForAsync();
            Assert.That(await site.AskAsync("SELECT count(*) FROM joblocks.holders WHERE release_requested_by IS NOT NULL"), Is.Zero);
        }
    }

    /// <summary>Waits until the page has looked twice: it begins the second time when it is done with the first.</summary>
    private static async Task LookedAsync(IPage page)
    {
        const string Looks = "performance.getEntriesByType('resource').filter(entry => entry.initiatorType === 'fetch').length";
        var before = await page.EvaluateAsync<int>(Looks);
        await page.WaitForFunctionAsync($"before => {Looks} >= before + 2", before, new() { Timeout = 60_000 });
    }

    private Uri At(string path) => new(_site.Address, path);
}
