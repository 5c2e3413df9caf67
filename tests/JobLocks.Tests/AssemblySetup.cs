using JobLocks.Testing.Postgres;

[assembly: Parallelizable(ParallelScope.Fixtures)]
// Tests mostly wait: for heartbeats, time-outs and sweeps.
[assembly: LevelOfParallelism(5)]

namespace JobLocks.Tests;

/// <summary>One PostgreSQL for all fixtures that do not break it.</summary>
[SetUpFixture]
public sealed class AssemblySetup
{
    private static PostgresServer? _server;

    internal static PostgresServer Server => _server ?? throw new InvalidOperationException("The server was not started.");

    [OneTimeSetUp]
    public async Task StartServer()
    {
        // Some tests block the threads they run on. The pool gives new ones slowly, and what others measure meanwhile would be that.
        ThreadPool.SetMinThreads(workerThreads: 64, completionPortThreads: 64);
        // A prepared transaction can hold a lock.
        _server = await PostgresServer.StartAsync("max_prepared_transactions = 10\n");
    }

    [OneTimeTearDown]
    public async Task StopServer()
    {
        if (_server is not null) await _server.DisposeAsync();
    }
}
