using System.Net;
using Npgsql;

namespace JobLocks.AspNetCore.Tests;

/// <summary>What every answer tells the browser, whatever it is.</summary>
[TestFixture, CancelAfter(60_000)]
public sealed class AnswerHeadersTests
{
    private const string Name = "order:42";

    private static readonly string NamePage = $"/joblocks/names/{LockKey.Of(Name)}";

    private static readonly (string Method, string Path, HttpStatusCode Status)[] Requests =
    [
        ("GET", "/joblocks", HttpStatusCode.OK),
        ("GET", NamePage, HttpStatusCode.OK),
        ("GET", "/joblocks/search", HttpStatusCode.OK),
        ("GET", "/joblocks/api/v1/overview", HttpStatusCode.OK),
        ("GET", "/joblocks/api/v1/held", HttpStatusCode.OK),
        ("GET", "/joblocks/api/v1/held?take=101", HttpStatusCode.BadRequest),
        ("GET", "/joblocks/api/v1/names/x", HttpStatusCode.NotFound),
        ("GET", "/joblocks/api/v1/runs/unknown", HttpStatusCode.NotFound),
        ("GET", "/joblocks/no-such-page", HttpStatusCode.NotFound),
        ("GET", "/joblocks/names/x", HttpStatusCode.NotFound),
        ("GET", "/joblocks/names/99999999999999999999", HttpStatusCode.NotFound),
        ("GET", "/joblocks/api/v2/held", HttpStatusCode.NotFound),
        ("GET", $"{NamePage}/release", HttpStatusCode.MethodNotAllowed),
        ("GET", $"{NamePage}/release/5", HttpStatusCode.MethodNotAllowed),
        ("POST", $"{NamePage}/release", HttpStatusCode.BadRequest),
        ("POST", NamePage, HttpStatusCode.MethodNotAllowed),
        ("DELETE", "/joblocks/api/v1/held", HttpStatusCode.MethodNotAllowed),
        ("HEAD", "/joblocks", HttpStatusCode.MethodNotAllowed),
        ("OPTIONS", "/joblocks/api/v1/overview", HttpStatusCode.MethodNotAllowed),
        ("TRACE", "/joblocks", HttpStatusCode.MethodNotAllowed),
    ];

    [Test]
    public async Task Forbids_scripts_guesses_of_the_type_and_copies_in_every_answer()
    {
        await using var site = await Site.StartAsync();
        await using var refusing = await Site.StartAsync(environment: "Production");

        foreach (var (method, path, status) in Requests)
        {
            await CheckAsync(site, method, path, status);
            await CheckAsync(refusing, method, path, HttpStatusCode.Forbidden);
        }
    }

    [Test]
    public async Task Forbids_it_too_where_PostgreSQL_cannot_be_asked(CancellationToken stop)
    {
        await using var site = await Site.StartAsync();
        await using var admin = await site.OpenAsync(stop);
        await using var transaction = await admin.BeginTransactionAsync(stop);
        await using var command = new NpgsqlCommand("LOCK TABLE joblocks.holders", admin);
        await command.ExecuteNonQueryAsync(stop);

        foreach (var path in new[] { "/joblocks", "/joblocks/api/v1/held" }) await CheckAsync(site, "GET", path, HttpStatusCode.ServiceUnavailable);
    }

    [TestCase("held=x")]
    [TestCase("held=-5")]
    [TestCase("held=99999999999999999999")]
    [TestCase("waiting=2147483647&held=2147483647")]
    [TestCase("held=1&held=2")]
    [TestCase("waiting=%00")]
    [TestCase("unknown=1")]
    public async Task Shows_the_beginning_for_a_part_of_a_list_that_is_none(string query)
    {
        await using var site = await Site.StartAsync();

        Assert.That(await site.GetAsync($"/joblocks?{query}"), Does.Contain("<b>0</b> held"));
        await site.GetAsync($"{NamePage}?{query.Replace("held", "skip", StringComparison.Ordinal)}");
    }

    private static async Task CheckAsync(Site site, string method, string path, HttpStatusCode status)
    {
        using var request = new HttpRequestMessage(new(method), path);
        using var answer = await site.Client.SendAsync(request);
        using (Assert.EnterMultipleScope())
        {
            Assert.That(answer.StatusCode, Is.EqualTo(status), $"{method} {path}");
            Assert.That(HeaderOf(answer, "Content-Security-Policy"), Does.Contain("default-src 'none'"), $"{method} {path}");
            Assert.That(HeaderOf(answer, "X-Content-Type-Options"), Is.EqualTo("nosniff"), $"{method} {path}");
            Assert.That(HeaderOf(answer, "Cache-Control"), Does.Contain("no-store"), $"{method} {path}");
            if (status == HttpStatusCode.ServiceUnavailable) Assert.That(HeaderOf(answer, "Retry-After"), Is.Not.Null, $"{method} {path}");
        }
    }

    private static string? HeaderOf(HttpResponseMessage answer, string header) => answer.Headers.TryGetValues(header, out var values) ? string.Join(',', values) : null;
}
