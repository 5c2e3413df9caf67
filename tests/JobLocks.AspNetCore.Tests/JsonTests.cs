using System.Net;
using System.Text.Json;
using Npgsql;

namespace JobLocks.AspNetCore.Tests;

/// <summary>The JSON behind the page.</summary>
[TestFixture, CancelAfter(60_000)]
public sealed class JsonTests
{
    private static readonly string[] ComesBack = ["5"];

    private const string Name = "order:42";

    [Test]
    public async Task Tells_what_is_held_and_what_waits(CancellationToken stop)
    {
        await using var site = await Site.StartAsync();
        using var held = await site.HoldAsync(Name);
        await site.ParkAsync(Name, "4711");
        await site.WrittenDownAsync(stop);

        var overview = await ReadAsync(site, "overview");
        var lockHeld = (await ReadAsync(site, "held")).GetProperty("items")[0];
        var name = await ReadAsync(site, $"names/{LockKey.Of(Name)}");
        var line = await ReadAsync(site, $"names/{LockKey.Of(Name)}/waiting?take=1");
        var run = await ReadAsync(site, "runs/4711");

        using (Assert.EnterMultipleScope())
        {
            Assert.That((overview.GetProperty("held").GetInt64(), overview.GetProperty("waiting").GetInt64()), Is.EqualTo((1L, 1L)));
            Assert.That(lockHeld.GetProperty("key").GetString(), Is.EqualTo(LockKey.Of(Name).ToString()), "as text: a number of JavaScript has 53 bits");
            Assert.That(lockHeld.GetProperty("mode").GetString(), Is.EqualTo("exclusive"));
            Assert.That(lockHeld.GetProperty("holder").GetProperty("run").GetString(), Is.EqualTo("Hangfire job 1187"));
            Assert.That(name.GetProperty("name").GetString(), Is.EqualTo(Name));
            Assert.That(line.GetProperty("items")[0].GetProperty("position").GetInt64(), Is.EqualTo(1));
            Assert.That(run.GetProperty("sentence").GetString(), Does.StartWith("waiting for order:42, held by Hangfire job 1187 of billing on web-3 (pid 812) since "));
        }
    }

    [Test]
    public async Task Is_described_by_OpenAPI_as_it_is(CancellationToken stop)
    {
        await using var site = await Site.StartAsync();
        using var held = await site.HoldAsync(Name);
        await site.ParkAsync(Name, "4711");
        await site.WrittenDownAsync(stop);

        var description = JsonDocument.Parse(await site.GetAsync("/openapi/v1.json")).RootElement;
        var paths = description.GetProperty("paths").EnumerateObject().Where(static path => path.Name.StartsWith("/joblocks/api/v1/", StringComparison.Ordinal)).ToList();

        Assert.That(paths, Has.Count.EqualTo(7));
        foreach (var path in paths)
        {
            var asked = path.Name.Replace("{key}", LockKey.Of(Name).ToString(), StringComparison.Ordinal).Replace("{run}", "4711", StringComparison.Ordinal).Replace("search", "search?q=4711", StringComparison.Ordinal);
            var answers = path.Value.GetProperty("get").GetProperty("responses");
            var described = answers.GetProperty("200").GetProperty("content").GetProperty("application/json").GetProperty("schema");
            using (Assert.EnterMultipleScope())
            {
                Assert.That(Unlike(JsonDocument.Parse(await site.GetAsync(asked)).RootElement, described, "$"), Is.Empty, asked);
                Assert.That(answers.TryGetProperty("503", out _), Is.True, asked);
                Assert.That(Parameters(path.Value).Where(static one => one.GetProperty("in").GetString() is "path").Select(static one => one.GetProperty("schema").GetProperty("type").GetString()), Is.All.EqualTo("string"), asked);
            }
        }

        IEnumerable<JsonElement> Parameters(JsonElement of) => of.GetProperty("get").TryGetProperty("parameters", out var parameters) ? parameters.EnumerateArray() : [];

        IEnumerable<string> Unlike(JsonElement value, JsonElement described, string at)
        {
            var schema = Resolve(described);
            return value.ValueKind switch
            {
                JsonValueKind.Object => schema.GetProperty("properties").EnumerateObject().SelectMany(of => value.TryGetProperty(of.Name, out var inner) ? Unlike(inner, of.Value, $"{at}.{of.Name}") : [$"{at}.{of.Name} is missing"])
                    .Concat(value.EnumerateObject().Where(of => !schema.GetProperty("properties").TryGetProperty(of.Name, out _)).Select(of => $"{at}.{of.Name} is not described")),
                JsonValueKind.Array => value.EnumerateArray().SelectMany((of, i) => Unlike(of, schema.GetProperty("items"), $"{at}[{i}]")),
                JsonValueKind.Null => described.GetRawText().Contains("\"null\"", StringComparison.Ordinal) ? [] : [$"{at} is null"],
                var kind => schema.GetProperty("type").GetRawText().Contains(kind switch { JsonValueKind.String => "\"string\"", JsonValueKind.Number => value.TryGetInt64(out _) ? "\"integer\"" : "\"number\"", _ => "\"boolean\"" }, StringComparison.Ordinal)
                    || (kind == JsonValueKind.Number && schema.GetProperty("type").GetRawText().Contains("\"number\"", StringComparison.Ordinal)) ? [] : [$"{at} is {value}, and described as {schema}"],
            };
        }

        JsonElement Resolve(JsonElement schema) => schema.TryGetProperty("$ref", out var name)
            ? description.GetProperty("components").GetProperty("schemas").GetProperty(name.GetString()!.Split('/')[^1])
            : schema.TryGetProperty("oneOf", out var some) ? Resolve(some.EnumerateArray().Last()) : schema;
    }

    [TestCase("held?take=101")]
    [TestCase("waiting?skip=-1")]
    public async Task Refuses_a_page_that_is_too_large(string path)
    {
        await using var site = await Site.StartAsync();

        Assert.That(await site.GetAsync($"/joblocks/api/v1/{path}", HttpStatusCode.BadRequest), Does.Contain("take from 1 to 100"));
    }

    [TestCase("holders", "held")]
    [TestCase("wait_queue", "waiting")]
    public async Task Says_which_table_is_locked_by_whom(string table, string path, CancellationToken stop)
    {
        await using var site = await Site.StartAsync();
        await using var admin = await site.OpenAsync(stop);
        await using var transaction = await admin.BeginTransactionAsync(stop);
        await using var command = new NpgsqlCommand($"LOCK TABLE joblocks.{table}", admin);
        await command.ExecuteNonQueryAsync(stop);

        Assert.That(await site.GetAsync($"/joblocks/api/v1/{path}", HttpStatusCode.ServiceUnavailable), Does.Contain($"The table joblocks.{table} in ").And.Contain($"is locked by backend {admin.ProcessID}"));
        var page = await site.Client.GetAsync(new Uri("/joblocks", UriKind.Relative), stop);
        using (Assert.EnterMultipleScope())
        {
            Assert.That(page.StatusCode, Is.EqualTo(HttpStatusCode.ServiceUnavailable));
            Assert.That(page.Headers.GetValues("Refresh"), Is.EqualTo(ComesBack), "a person does not have to load it again");
            Assert.That(await page.Content.ReadAsStringAsync(stop), Does.Contain("<h1>A table that the pages read is locked</h1>").And.Contain($"is locked by backend {admin.ProcessID}"));
        }
    }

    [Test]
    public async Task Shows_all_while_the_table_of_limits_is_locked(CancellationToken stop)
    {
        await using var site = await Site.StartAsync();
        using var held = await site.HoldAsync(Name);
        await site.ParkAsync(Name, "4711");
        await using var admin = await site.OpenAsync(stop);
        await using var transaction = await admin.BeginTransactionAsync(stop);
        await using var command = new NpgsqlCommand("LOCK TABLE joblocks.declared_limits", admin);
        await command.ExecuteNonQueryAsync(stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That((await ReadAsync(site, "waiting")).GetProperty("total").GetInt64(), Is.EqualTo(1));
            Assert.That(await site.GetAsync("/joblocks"), Does.Contain("<b>1</b> held"));
        }
    }

    [TestCase("nightly/eu 7", "nightly%2Feu%207")]
    [TestCase("nightly/eu", "nightly/eu")]
    public async Task Says_why_a_run_waits_whose_name_has_a_slash(string run, string asked, CancellationToken stop)
    {
        await using var site = await Site.StartAsync();
        using var held = await site.HoldAsync(Name);
        await site.ParkAsync(Name, run);

        var answer = await ReadAsync(site, $"runs/{asked}");

        Assert.That(answer.GetProperty("run").GetString(), Is.EqualTo(run));
        Assert.That(answer.GetProperty("sentence").GetString(), Does.StartWith("waiting for order:42"));
    }

    [Test]
    public async Task Knows_nothing_of_a_run_that_neither_waits_nor_runs()
    {
        await using var site = await Site.StartAsync();

        await site.GetAsync("/joblocks/api/v1/runs/unknown", HttpStatusCode.NotFound);
    }

    private static async Task<JsonElement> ReadAsync(Site site, string path) => JsonDocument.Parse(await site.GetAsync($"/joblocks/api/v1/{path}")).RootElement;
}
