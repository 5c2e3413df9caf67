using System.Net;
using System.Net.Http.Headers;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;

namespace JobLocks.AspNetCore.Tests;

/// <summary>Requests with parameters or a form that cannot be read, where the framework answers by itself unless it is kept from it.</summary>
[TestFixture("Development"), TestFixture("Production"), CancelAfter(60_000)]
public sealed class UnreadableRequestTests(string environment)
{
    private const string Form = "application/x-www-form-urlencoded";
    private const int LongestForm = 1000;
    private const int LongestBody = 5000;

    private static readonly string NamePage = $"/joblocks/names/{LockKey.Of("order:42")}";

    [TestCase("held?take=x", "skip is 0 or more, and take from 1 to 100.")]
    [TestCase("held?skip=", "skip is 0 or more, and take from 1 to 100.")]
    [TestCase("waiting?skip=1.5", "skip is 0 or more, and take from 1 to 100.")]
    [TestCase("waiting?take=99999999999999999999", "skip is 0 or more, and take from 1 to 100.")]
    [TestCase("names/5/waiting?take=%00", "skip is 0 or more, and take from 1 to 100.")]
    [TestCase("search", "q is missing: the text to search for.")]
    public async Task Answers_with_headers_when_a_parameter_of_the_JSON_cannot_be_read(string request, string sentence)
    {
        await using var site = await StartAsync();

        using var answer = await site.Client.GetAsync(new Uri($"/joblocks/api/v1/{request}", UriKind.Relative));

        await CheckAsync(answer, "application/problem+json", $"\"detail\":\"{sentence}\"");
    }

    [TestCase("", Form)]
    [TestCase("a=%zz&=&&", Form)]
    [TestCase("{\"a\": 1}", "application/json")]
    [TestCase("no parts", "multipart/form-data")]
    [TestCase("no parts", "multipart/form-data; boundary=x")]
    [TestCase("--x\r\nContent-Disposition: nonsense\r\n\r\n", "multipart/form-data; boundary=x")]
    [TestCase("a", "no content type")]
    public async Task Answers_with_headers_when_a_form_cannot_be_read(string body, string type)
    {
        await using var site = await StartAsync();

        await CheckAsync(await PostAsync(site, body, type), "text/plain", ". Load the page again and press the button once more.");
    }

    [TestCase(2 * LongestForm, 1)]
    [TestCase(2 * LongestBody, 1)]
    [TestCase(1, 100)]
    public async Task Answers_with_headers_when_a_form_is_too_large_or_has_too_many_fields(int length, int fields)
    {
        await using var site = await StartAsync();
        var body = string.Join('&', Enumerable.Repeat($"a={new string('x', length)}", fields));

        await CheckAsync(await PostAsync(site, body, Form), "text/plain", "The form cannot be read. Load the page again and press the button once more.");
    }

    private Task<Site> StartAsync() => Site.StartAsync(
        static page => page.AllowAnonymous(),
        environment: environment,
        services: static services => services
            .Configure<FormOptions>(static form => (form.BufferBodyLengthLimit, form.ValueLengthLimit, form.ValueCountLimit) = (LongestForm, LongestForm, 10))
            .Configure<KestrelServerOptions>(static server => server.Limits.MaxRequestBodySize = LongestBody));

    private static async Task<HttpResponseMessage> PostAsync(Site site, string body, string type)
    {
        using var content = new ByteArrayContent(Encoding.ASCII.GetBytes(body));
        if (MediaTypeHeaderValue.TryParse(type, out var known)) content.Headers.ContentType = known;
        return await site.Client.PostAsync(new Uri($"{NamePage}/release", UriKind.Relative), content);
    }

    private static async Task CheckAsync(HttpResponseMessage answer, string type, string text)
    {
        var body = await answer.Content.ReadAsStringAsync();
        using (Assert.EnterMultipleScope())
        {
            Assert.That(answer.StatusCode, Is.EqualTo(HttpStatusCode.BadRequest), body);
            Assert.That(answer.Content.Headers.ContentType?.MediaType, Is.EqualTo(type));
            Assert.That(body, Does.Contain(text));
            Assert.That(HeaderOf(answer, "Content-Security-Policy"), Does.Contain("default-src 'none'"));
            Assert.That(HeaderOf(answer, "X-Content-Type-Options"), Is.EqualTo("nosniff"));
            Assert.That(HeaderOf(answer, "Cache-Control"), Does.Contain("no-store"));
        }
    }

    private static string? HeaderOf(HttpResponseMessage answer, string header) => answer.Headers.TryGetValues(header, out var values) ? string.Join(',', values) : null;
}
