using JobLocks.Testing.Postgres;

[assembly: Parallelizable(ParallelScope.Fixtures)]
[assembly: LevelOfParallelism(5)]
[assembly: FixtureLifeCycle(LifeCycle.SingleInstance)]

namespace JobLocks.Quartz.Tests;

[SetUpFixture]
public sealed class AssemblySetup
{
    public static PostgresServer Postgres { get; private set; } = null!;

    public static ShadowedDatabases Databases { get; private set; } = null!;

    [OneTimeSetUp]
    public async Task StartPostgres()
    {
        Postgres = await PostgresServer.StartAsync();
        Databases = await ShadowedDatabases.OnAsync(Postgres, typeof(JobLocksOptions).Assembly, typeof(JobLockAttribute).Assembly);
    }

    [OneTimeTearDown]
    public async Task EndPostgres() => await Postgres.DisposeAsync();
}
