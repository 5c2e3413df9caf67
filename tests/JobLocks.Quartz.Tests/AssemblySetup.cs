using JobLocks.Testing.Postgres;

[assembly: Parallelizable(ParallelScope.Fixtures)]
[assembly: LevelOfParallelism(2)]
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
