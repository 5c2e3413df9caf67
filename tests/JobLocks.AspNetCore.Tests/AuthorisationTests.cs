using System.Net;
using System.Net.Sockets;
using System.Text;
using Microsoft.AspNetCore.Builder;

namespace JobLocks.AspNetCore.Tests;

/// <summary>Who is answered, where the application says who may see the page and where it does not.</summary>
[TestFixture, CancelAfter(60_000)]
public sealed class AuthorisationTests
{
    private static readonly string NamePage = $"/joblocks/names/{LockKey.Of("order:42")}";

    private static readonly string[] Paths =
        ["/joblocks", NamePage, "/joblocks/search?q=x", "/joblocks/page.js", "/joblocks/api/v1/held", "/joblocks/api/v1/overview", "/joblocks/no-such-page", "/joblocks?held=x"];

    private static readonly (string Header, string Value)[] FromElsewhere =
    [
        ("X-From", "203.0.113.7"),
        ("X-From", "::ffff:203.0.113.7"),
        ("X-From", "nowhere"),
        ("X-Forwarded-For", "203.0.113.7"),
        ("x-forwarded-proto", "https"),
        ("X-Forwarded", "for=203.0.113.7"),
        ("Forwarded-For", "203.0.113.7"),
        ("Forwarded", "for=203.0.113.7"),
        ("X-Original-Host", "shop.example.com"),
        ("X-Real-IP", "203.0.113.7"),
        ("CF-Connecting-IP", "203.0.113.7"),
        ("True-Client-IP", "203.0.113.7"),
        ("X-Cluster-Client-IP", "203.0.113.7"),
        ("Via", "1.1 proxy"),
        ("Host", "evil.example"),
        ("Host", "evil.example:5000"),
        ("Host", "localhost.evil.example"),
        ("Host", "evil-localhost"),
        ("Host", "127.0.0.1.evil.example"),
        ("Host", "203.0.113.7"),
        ("Host", "0.0.0.0"),
    ];

    [Test]
    public async Task Answers_no_request_before_the_application_configures_authorisation()
    {
        await using var site = await Site.StartAsync(environment: "Production");

        foreach (var path in Paths) Assert.That(await site.GetAsync(path, HttpStatusCode.Forbidden), Does.Contain("RequireAuthorization"), path);
    }

    [Test]
    public async Task Answers_its_own_machine_in_the_development_environment()
    {
        await using var site = await Site.StartAsync();

        Assert.That(await site.GetAsync("/joblocks"), Does.Contain("<h2 id=\"h-held\" tabindex=\"-1\">Held</h2>"));
        foreach (var from in new[] { "::1", "127.0.0.2", "::ffff:127.0.0.1", "::ffff:127.0.0.2" }) await GetAsync(site, "X-From", from, HttpStatusCode.OK);
        foreach (var host in new[] { "localhost", "LOCALHOST:5000", "localhost.", "locks.dev.localhost", "127.0.0.1", "127.1.2.3:81", "[::1]", "[::1]:5000", "[::ffff:127.0.0.1]" })
            await GetAsync(site, "Host", host, HttpStatusCode.OK);
    }

    [Test]
    public async Task Answers_no_request_from_elsewhere_in_the_development_environment()
    {
        await using var site = await Site.StartAsync();

        foreach (var (header, from) in FromElsewhere) await GetAsync(site, header, from, HttpStatusCode.Forbidden);
    }

    [Test]
    public async Task Answers_no_request_without_a_host(CancellationToken stop)
    {
        await using var site = await Site.StartAsync();
        using var client = new TcpClient();
        await client.ConnectAsync(IPAddress.Loopback, site.Address.Port, stop);

        await client.GetStream().WriteAsync("GET /joblocks HTTP/1.0\r\n\r\n"u8.ToArray(), stop);

        using var answer = new StreamReader(client.GetStream(), Encoding.ASCII);
        Assert.That(await answer.ReadLineAsync(stop), Does.Contain(" 403 "));
    }

    [Test]
    public async Task Keeps_to_what_the_application_says_about_authorisation([Values("Development", "Production")] string environment)
    {
        await using var guarded = await Site.StartAsync(static page => page.RequireAuthorization(), environment: environment);
        await using var open = await Site.StartAsync(static page => page.AllowAnonymous(), environment: environment);
        open.Client.DefaultRequestHeaders.Add("X-From", "203.0.113.7");
        open.Client.DefaultRequestHeaders.Host = "ops.example";

        using (Assert.EnterMultipleScope())
        {
            foreach (var path in new[] { "/joblocks", "/joblocks/api/v1/held", "/joblocks/no-such-page" }) await guarded.GetAsync(path, HttpStatusCode.Unauthorized);
            await open.GetAsync("/joblocks");
        }

        guarded.Client.DefaultRequestHeaders.Add("X-From", "203.0.113.7");
        guarded.Client.DefaultRequestHeaders.Add(HeaderAuthentication.Header, "alice");
        await guarded.GetAsync("/joblocks");
    }

    [Test]
    public async Task Leaves_the_other_paths_of_the_application_alone()
    {
        await using var site = await Site.StartAsync(pattern: "/", environment: "Production");

        Assert.That(await site.GetAsync("/openapi/v1.json"), Does.Contain("/api/v1/held"));
        await site.GetAsync("/no-such-page", HttpStatusCode.NotFound);
    }

    private static async Task GetAsync(Site site, string header, string value, HttpStatusCode expected)
    {
        foreach (var path in Paths.Where(path => expected != HttpStatusCode.OK || path is "/joblocks" or "/joblocks/api/v1/held"))
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, path);
            request.Headers.TryAddWithoutValidation(header, value);
            using var answer = await site.Client.SendAsync(request);
            Assert.That(answer.StatusCode, Is.EqualTo(expected), $"{path} with {header}: {value}");
        }
    }
}
