using System.Text.Json;
using System.Text.RegularExpressions;
using JobLocks.Testing.Postgres;

namespace JobLocks.Samples.Tests;

/// <summary>The sample with its dashboards, while its servers work and after it.</summary>
[TestFixture, CancelAfter(180_000)]
public sealed partial class DashboardTests
{
    private PostgresServer _server = null!;
    private SampleRun _sample = null!;
    private HttpClient _browser = null!;

    [OneTimeSetUp]
    public async Task StartSample()
    {
        _browser = new();
        _server = await PostgresServer.StartAsync();
        _sample = SampleRun.Start(await _server.CreateDatabaseAsync("dashboards"), "--feed", Feeds.Small(), "--rounds", "2", "--dashboards", "--stay");
        await _sample.Stays;
    }

    [OneTimeTearDown]
    public async Task StopSample()
    {
        _browser.Dispose();
        _sample.Dispose();
        await _server.DisposeAsync();
    }

    [Test]
    public async Task Shows_the_locks_on_their_own_page_and_in_the_dashboard_of_Hangfire(CancellationToken stop)
    {
        var own = await _browser.GetStringAsync(_sample.Addresses.Single(static address => address.AbsolutePath is "/joblocks"), stop);
        var hangfire = await _browser.GetStringAsync(_sample.Addresses.Single(static address => address.AbsolutePath is "/hangfire/joblocks"), stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(own, Does.Contain("ClientSync server-1").And.Contain("ClientSync server-2"));
            Assert.That(hangfire, Does.Contain(">Locks</h1>"));
        }
    }

    [Test]
    public async Task Gives_Prometheus_all_that_the_board_of_Grafana_asks_for(CancellationToken stop)
    {
        var samples = new List<string>();
        foreach (var address in _sample.Addresses.Where(static address => address.AbsolutePath is "/metrics"))
            samples.AddRange((await _browser.GetStringAsync(address, stop)).Split('\n').Where(static line => line.StartsWith("joblocks_", StringComparison.Ordinal)));

        var queries = Queries();
        Assert.That(queries, Is.Not.Empty);
        using (Assert.EnterMultipleScope())
        {
            foreach (var query in queries)
            {
                foreach (var series in Series().Matches(query).Select(static match => match.Value))
                {
                    var given = samples.Where(sample => sample.StartsWith($"{series}{{", StringComparison.Ordinal) || sample.StartsWith($"{series} ", StringComparison.Ordinal)).ToList();
                    Assert.That(given, Is.Not.Empty, $"{series} in {query}");
                    foreach (var label in Labels(query)) Assert.That(given, Has.Some.Contains($"{label}=\""), $"{label} of {series} in {query}");
                }
            }
        }
    }

    private static List<string> Queries()
    {
        var here = new DirectoryInfo(AppContext.BaseDirectory);
        var root = here.Parent!.Parent!.Parent!.Parent!.Parent!;
        using var board = JsonDocument.Parse(File.ReadAllText(Path.Combine(root.FullName, "docs", "grafana.json")));
        return [.. board.RootElement.GetProperty("panels").EnumerateArray()
            .SelectMany(static panel => panel.GetProperty("targets").EnumerateArray())
            .Select(static target => target.GetProperty("expr").GetString()!)];
    }

    /// <summary>Those by which it sums up, and those by which it chooses.</summary>
    private static IEnumerable<string> Labels(string query) =>
        Grouped().Matches(query).SelectMany(static match => match.Groups["labels"].Value.Split(',', StringSplitOptions.TrimEntries))
            .Concat(Chosen().Matches(query).Select(static match => match.Groups["label"].Value));

    [GeneratedRegex(@"(?<![a-z_])joblocks_(?!outcome|lock_template)[a-z_]+", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex Series();

    [GeneratedRegex(@"by \((?<labels>[^)]*)\)", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex Grouped();

    [GeneratedRegex(@"(?<label>[a-z_]+)!?=""", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex Chosen();
}
