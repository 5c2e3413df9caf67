using JobLocks.Testing.Postgres;

[assembly: Parallelizable(ParallelScope.All)]
[assembly: LevelOfParallelism(4)]
[assembly: FixtureLifeCycle(LifeCycle.InstancePerTestCase)]

namespace JobLocks.AspNetCore.Tests;

[SetUpFixture]
public sealed class AssemblySetup
{
    public static PostgresServer Postgres { get; private set; } = null!;

    [OneTimeSetUp]
    public async Task StartPostgres() => Postgres = await PostgresServer.StartAsync();

    [OneTimeTearDown]
    public async Task EndPostgres() => await Postgres.DisposeAsync();
}
