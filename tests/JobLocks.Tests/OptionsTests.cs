using JobLocks.Gate;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;
using Npgsql;

namespace JobLocks.Tests;

[TestFixture]
public sealed class OptionsTests
{
    private const string Nowhere = "Host=127.0.0.1;Port=1;Database=none;Username=nobody;Password=hush-hush;Timeout=1";

    [Test]
    public void Says_all_that_is_wrong_at_once_without_a_container()
    {
        var error = Assert.Throws<OptionsValidationException>(static () => AdvisoryLocks.Connect(Nowhere, Spoil));

        Assert.That(error!.Message, Does.Contain("Scope").And.Contain("ApplicationName").And.Contain("HeartbeatInterval"));
    }

    [Test]
    public async Task Stops_the_host_at_its_start()
    {
        var builder = Host.CreateApplicationBuilder();
        builder.Services.AddJobLocks(Nowhere, Spoil);
        using var host = builder.Build();

        await Assert.ThatAsync(() => host.StartAsync(), Throws.InstanceOf<OptionsValidationException>().With.Message.Contains("HeartbeatInterval"));
    }

    [Test]
    public void Refuses_a_connection_string_that_cannot_be_read()
    {
        var services = new ServiceCollection();

        Assert.Throws<ArgumentException>(() => services.AddJobLocks("Hosst=nowhere"));
    }

    [Test]
    public async Task Gives_the_same_locks_to_code_and_to_runs()
    {
        await using var source = NpgsqlDataSource.Create(Nowhere);
        var services = new ServiceCollection();
        services.AddSingleton(source);
        services.AddJobLocks(static provider => provider.GetRequiredService<NpgsqlDataSource>());
        services.AddJobLocks(Nowhere);
        await using var provider = services.BuildServiceProvider();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(provider.GetRequiredService<IJobLocks>(), Is.SameAs(provider.GetRequiredService<AdvisoryLocks>()));
            Assert.That(provider.GetRequiredService<JobGate>(), Is.Not.Null);
        }
    }

    [Test]
    public async Task Tells_no_secret_when_the_server_cannot_be_reached()
    {
        await using var locks = AdvisoryLocks.Connect(Nowhere);

        var error = await Assert.ThrowsAsync<JobLocksUnavailableException>(() => locks.TryAcquireAsync("sync(4)"));

        Assert.That(error!.ToString(), Does.Contain("127.0.0.1:1, database none").And.Not.Contain("hush-hush"));
    }

    private static void Spoil(JobLocksOptions options)
    {
        options.Scope = " ";
        options.ApplicationName = new string('x', 64);
        options.HeartbeatInterval = TimeSpan.Zero;
    }
}
