using JobLocks.Testing.Postgres;

[assembly: Parallelizable(ParallelScope.Fixtures)]
// A test here mostly waits for the schedule of a trigger.
[assembly: LevelOfParallelism(3)]
[assembly: FixtureLifeCycle(LifeCycle.SingleInstance)]

namespace JobLocks.Quartz.Tests;

[SetUpFixture]
public sealed class AssemblySetup
{
    public static PostgresServer Postgres { get; private set; } = null!;

    [OneTimeSetUp]
    public async Task StartPostgres() => Postgres = await PostgresServer.StartAsync();

    [OneTimeTearDown]
    public async Task EndPostgres() => await Postgres.DisposeAsync();
}
