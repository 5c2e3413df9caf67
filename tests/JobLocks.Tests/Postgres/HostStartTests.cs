using JobLocks.Testing.Postgres;
using JobLocks.Tests.Support;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Hosting;

namespace JobLocks.Tests.Postgres;

/// <summary>What a host learns about its locks when it starts.</summary>
[TestFixture]
public sealed class HostStartTests
{
    [Test, CancelAfter(60_000)]
    public async Task Stops_the_host_where_the_database_is_not_there(CancellationToken stop)
    {
        using var host = HostOver(AssemblySetup.Server.ConnectionString + ";Database=nowhere");

        var error = await Assert.ThrowsAsync<JobLocksUnavailableException>(() => host.StartAsync(stop));

        Assert.That(error!.Message, Does.Contain("\"nowhere\" does not exist").And.Contain("Correct the database"));
    }

    [Test, CancelAfter(60_000)]
    public async Task Stops_the_host_where_locks_do_not_exclude_each_other(CancellationToken stop)
    {
        var database = await StubFunctions.CreateDatabaseAsync(AssemblySetup.Server, StubFunctions.Acquires, "SELECT true");
        using var host = HostOver(database);

        var error = await Assert.ThrowsAsync<JobLocksUnavailableException>(() => host.StartAsync(stop));

        Assert.That(error!.Message, Does.Contain("its advisory locks do not exclude each other").And.Contain("Give JobLocks the connection string of a PostgreSQL server"));
    }

    [Test, CancelAfter(60_000)]
    public async Task Starts_without_its_server_and_gets_well_when_it_comes(CancellationToken stop)
    {
        await using var server = await PostgresServer.StartOwnAsync(stop: stop);
        await server.StopAsync(immediate: true, stop);
        using var host = HostOver(server.ConnectionString);

        await host.StartAsync(stop);
        var without = await HealthAsync(host, stop);
        await server.StartAgainAsync(stop);
        await using var handle = await host.Services.GetRequiredService<IJobLocks>().TryAcquireOnceBackAsync("start", stop);
        var with = await HealthAsync(host, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(without.Status, Is.EqualTo(HealthStatus.Unhealthy));
            Assert.That(without.Entries["joblocks"].Description, Does.Contain("cannot be asked for locks"));
            Assert.That(with.Status, Is.EqualTo(HealthStatus.Healthy));
            Assert.That(handle, Is.Not.Null);
        }

        await host.StopAsync(stop);
    }

    private static IHost HostOver(string connectionString)
    {
        var builder = Host.CreateApplicationBuilder();
        builder.Services.AddJobLocks(connectionString);
        builder.Services.AddHealthChecks().AddJobLocks();
        return builder.Build();
    }

    private static Task<HealthReport> HealthAsync(IHost host, CancellationToken stop) =>
        host.Services.GetRequiredService<HealthCheckService>().CheckHealthAsync(stop);
}
