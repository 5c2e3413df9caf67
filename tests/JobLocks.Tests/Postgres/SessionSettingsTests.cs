using JobLocks.Postgres.Session;
using JobLocks.Tests.Support;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;

namespace JobLocks.Tests.Postgres;

/// <summary>What the session that holds the locks is told when it opens.</summary>
[TestFixture, CancelAfter(60_000)]
public sealed class SessionSettingsTests
{
    private NpgsqlDataSource _source = null!;
    private SessionConnection _session = null!;

    [OneTimeSetUp]
    public async Task OpenSession()
    {
        _source = NpgsqlDataSource.Create(await AssemblySetup.Server.CreateDatabaseAsync("settings"));
        _session = new SessionConnector(_source, new(), NullLogger.Instance).Open(new(TimeSpan.FromSeconds(15)));
    }

    [OneTimeTearDown]
    public async Task CloseSession()
    {
        _session.Dispose();
        await _source.DisposeAsync();
    }

    /// <summary>With sequential scans off, every small statement on a table seems dear enough to be compiled.</summary>
    [TestCase("jit", "off")]
    [TestCase("enable_seqscan", "off")]
    [TestCase("idle_session_timeout", "30s")]
    [TestCase("lock_timeout", "100ms")]
    [TestCase("synchronous_commit", "local")]
    public async Task Sets(string name, string value, CancellationToken stop) =>
        Assert.That(await _session.Connection.AskAsync($"SHOW {name}", stop), Is.EqualTo(value));
}
