using System.Net;
using Microsoft.AspNetCore.Builder;

namespace JobLocks.AspNetCore.Tests;

/// <summary>From where, for which lock and with which result a holder is asked to let go.</summary>
[TestFixture, CancelAfter(60_000)]
public sealed class ReleaseTests
{
    private const string Name = "order:42";
    private const string Other = "order:43";

    private static readonly string NamePage = PageOf(Name);

    [TestCase("Origin", "http://evil.example")]
    [TestCase("Origin", "null")]
    [TestCase("Origin", "http://127.0.0.1:1")]
    [TestCase("Origin", "not an origin")]
    [TestCase("Sec-Fetch-Site", "cross-site")]
    [TestCase("Sec-Fetch-Site", "same-site")]
    [TestCase("Sec-Fetch-Site", "none")]
    public async Task Refuses_a_form_from_a_page_of_another_site(string header, string value, CancellationToken stop)
    {
        await using var local = await Site.StartAsync();
        await using var open = await Site.StartAsync(static page => page.AllowAnonymous(), environment: "Production");

        foreach (var site in new[] { local, open })
        {
            using var held = await site.HoldAsync(Name);
            await site.WrittenDownAsync(stop);
            var form = Site.FormOn(await site.GetAsync(NamePage));

            var answer = await PostAsync(site, NamePage, form, (header, value));

            Assert.That(answer, Is.EqualTo(HttpStatusCode.Forbidden));
            Assert.That(await site.AskAsync("SELECT count(*) FROM joblocks.holders WHERE release_requested_by IS NOT NULL"), Is.Zero);
        }
    }

    [Test]
    public async Task Takes_a_form_of_its_own_page()
    {
        await using var site = await Site.StartAsync();
        var own = site.Address.GetLeftPart(UriPartial.Authority);

        foreach (var headers in new[] { [("Origin", own)], [("Sec-Fetch-Site", "same-origin"), ("Origin", own)], new[] { ("Sec-Fetch-Site", "same-origin"), ("Origin", "null") } })
            Assert.That(await PostAsync(site, NamePage, Site.FormOn(await site.GetAsync(NamePage)), headers), Is.EqualTo(HttpStatusCode.Redirect), headers[0].Item1);
    }

    [TestCase("http://ops.example", "ops.example")]
    [TestCase("https://ops.example", "ops.example:443")]
    [TestCase("https://ops.example:8443", "ops.example:8443")]
    [TestCase("http://[::1]:5000", "[::1]:5000")]
    public async Task Takes_a_form_of_its_own_host_whatever_the_scheme(string origin, string host)
    {
        await using var site = await Site.StartAsync(static page => page.AllowAnonymous());
        var form = Site.FormOn(await site.GetAsync(NamePage));

        Assert.That(await PostAsync(site, NamePage, form, ("Origin", origin), ("Host", host)), Is.EqualTo(HttpStatusCode.Redirect));
    }

    [Test]
    public async Task Asks_for_the_lock_in_the_address_and_no_other(CancellationToken stop)
    {
        await using var site = await Site.StartAsync(options: static options => options.IsReadOnly = static http => LockKey.Of(Other).ToString().Equals(http.Request.RouteValues["key"]));
        using var held = await site.HoldAsync(Name);
        using var other = await site.HoldAsync(Other);
        held.Lost.UnsafeRegister(static handle => ((JobLockHandle)handle!).Dispose(), held);
        while (await site.AskAsync("SELECT count(*) FROM joblocks.holders") is not 2L) stop.ThrowIfCancellationRequested();
        var fields = await Site.FormOn(await site.GetAsync(NamePage)).ReadAsStringAsync(stop);

        foreach (var path in new[] { $"{NamePage}/release", $"{NamePage}/release/{LockKey.Of(Other)}", $"{NamePage}/release?key={LockKey.Of(Other)}&slot={LockKey.Of(Other)}" })
        {
            using var form = new StringContent($"{fields}&key={LockKey.Of(Other)}&slot={LockKey.Of(Other)}", System.Text.Encoding.ASCII, "application/x-www-form-urlencoded");
            using var answer = await site.Client.PostAsync(new Uri(path, UriKind.Relative), form, stop);
            Assert.That(answer.StatusCode, Is.EqualTo(HttpStatusCode.Redirect), path);
        }

        var key = LockKey.Of(Other).ToString();
        foreach (var spelling in new[] { $"names/{(key.StartsWith('-') ? $"-0{key[1..]}" : $"0{key}")}/release", $"names/%20{key}/release", $"names/{key}%20/release", $"names/{key}/release/", $"NAMES/{key}/release", $"../JOBLOCKS/names/{key}/release" })
        {
            using var form = new StringContent(fields, System.Text.Encoding.ASCII, "application/x-www-form-urlencoded");
            using var answer = await site.Client.PostAsync(new Uri($"/joblocks/{spelling}", UriKind.Relative), form, stop);
            Assert.That(answer.StatusCode, Is.EqualTo(HttpStatusCode.NotFound), spelling);
        }

        Assert.That(other.IsLost, Is.False);
        Assert.That(await site.AskAsync($"SELECT count(*) FROM joblocks.holders WHERE key = {LockKey.Of(Other)} AND release_requested_by IS NOT NULL"), Is.Zero);
    }

    [TestCase("?told=Released")]
    [TestCase("?told=WasFree&told=Released")]
    [TestCase("?skip=0&told=Released")]
    public async Task Shows_no_success_that_an_address_claims(string query, CancellationToken stop)
    {
        await using var site = await Site.StartAsync();
        using var held = await site.HoldAsync(Name);
        await site.WrittenDownAsync(stop);
        site.Client.DefaultRequestHeaders.Add("Cookie", "joblocks-told=Released");

        var page = await site.GetAsync(NamePage + query);

        Assert.That(page, Does.Not.Contain("role=\"alert\""));
    }

    [Test]
    public async Task Shows_a_result_on_the_page_of_its_own_lock_only(CancellationToken stop)
    {
        await using var site = await Site.StartAsync();
        using var posted = await site.Client.PostAsync(new Uri($"{NamePage}/release", UriKind.Relative), Site.FormOn(await site.GetAsync(NamePage)), stop);
        var cookie = posted.Headers.GetValues("Set-Cookie").Single(static one => one.StartsWith("joblocks-told=", StringComparison.Ordinal));
        using var stranger = new HttpClient(new SocketsHttpHandler { UseCookies = false }) { BaseAddress = site.Address };
        stranger.DefaultRequestHeaders.Add("Cookie", cookie.Split(';')[0]);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(cookie, Does.Contain($"path={NamePage};").And.Contain("httponly").And.Contain("samesite=strict").And.Contain("max-age=60"));
            Assert.That(await stranger.GetStringAsync(new Uri(PageOf(Other), UriKind.Relative), stop), Does.Not.Contain("role=\"alert\""));
            Assert.That(await stranger.GetStringAsync(new Uri(NamePage, UriKind.Relative), stop), Does.Contain("It was free already."));
        }
    }

    private static string PageOf(string name) => $"/joblocks/names/{LockKey.Of(name)}";

    private static async Task<HttpStatusCode> PostAsync(Site site, string page, HttpContent form, params (string Header, string Value)[] headers)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, $"{page}/release") { Content = form };
        foreach (var (header, value) in headers) request.Headers.TryAddWithoutValidation(header, value);
        using var answer = await site.Client.SendAsync(request);
        return answer.StatusCode;
    }
}
