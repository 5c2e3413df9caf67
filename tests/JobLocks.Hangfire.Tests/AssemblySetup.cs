using JobLocks.Testing.Postgres;

[assembly: Parallelizable(ParallelScope.Fixtures)]
// Fixtures mostly wait for Hangfire's polls, so more of them than processors may run.
[assembly: LevelOfParallelism(5)]

namespace JobLocks.Hangfire.Tests;

/// <summary>One PostgreSQL for all fixtures that do not break it.</summary>
[SetUpFixture]
public sealed class AssemblySetup
{
    private static PostgresServer? _server;

    internal static PostgresServer Server => _server ?? throw new InvalidOperationException("The server was not started.");

    internal static ShadowedDatabases Databases { get; private set; } = null!;

    [OneTimeSetUp]
    public async Task StartServer()
    {
        // Hangfire's workers block the threads they run jobs on; what the tests await must not queue up behind them.
        ThreadPool.SetMinThreads(workerThreads: 64, completionPortThreads: 64);
        _server = await PostgresServer.StartAsync();
        Databases = await ShadowedDatabases.OnAsync(_server, typeof(JobLocksOptions).Assembly, typeof(JobLockAttribute).Assembly);
    }

    [OneTimeTearDown]
    public async Task StopServer()
    {
        if (_server is not null) await _server.DisposeAsync();
    }
}
