using Hangfire;
using Hangfire.PostgreSql;
using Microsoft.Extensions.DependencyInjection;
using Quartz;

namespace ClientSync;

/// <summary>Offers clients to both schedulers. It runs nothing itself: the servers do.</summary>
internal sealed class Offers : IAsyncDisposable
{
    private readonly ServiceProvider _services;
    private readonly IScheduler _quartz;
    private readonly IBackgroundJobClient _hangfire;

    private Offers(ServiceProvider services, IScheduler quartz)
    {
        _services = services;
        _quartz = quartz;
        _hangfire = services.GetRequiredService<IBackgroundJobClient>();
    }

    /// <summary>Creates both job stores, so that the servers find them.</summary>
    public static async Task<Offers> PrepareAsync(string connectionString, CancellationToken stop)
    {
        var services = new ServiceCollection();
        services.AddLogging();
        services.AddJobLocks(connectionString);
        services.AddHangfire((provider, hangfire) => JobLocks.Hangfire.JobLocksGlobalConfigurationExtensions.UseJobLocks(
            hangfire.UsePostgreSqlStorage(postgres => postgres.UseNpgsqlConnection(connectionString), Server.HangfireStorage), provider));
        services.AddQuartz(quartz => Server.ConfigureQuartz(quartz, connectionString, "parent"));
        var built = services.BuildServiceProvider();
        return new(built, await built.GetRequiredService<ISchedulerFactory>().GetScheduler(stop));
    }

    public async Task OfferAsync(int clientId, Choice choice, CancellationToken stop)
    {
        _ = choice switch
        {
            Choice.Reschedule => _hangfire.Enqueue<HangfireSync>(sync => sync.RunOrReschedule(clientId, CancellationToken.None)),
            Choice.Skip => _hangfire.Enqueue<HangfireSync>(sync => sync.RunOrSkip(clientId, CancellationToken.None)),
            Choice.Fail => _hangfire.Enqueue<HangfireSync>(sync => sync.RunOrFail(clientId, CancellationToken.None)),
            Choice.WithoutLocks => _hangfire.Enqueue<HangfireSync>(sync => sync.RunWithoutLock(clientId, CancellationToken.None)),
            _ => _hangfire.Enqueue<HangfireSync>(sync => sync.Run(clientId, CancellationToken.None)),
        };

        var type = choice switch
        {
            Choice.Reschedule => typeof(QuartzSyncOrReschedule),
            Choice.Skip => typeof(QuartzSyncOrSkip),
            Choice.Fail => typeof(QuartzSyncOrFail),
            Choice.WithoutLocks => typeof(UnlockedQuartzSync),
            _ => typeof(QuartzSync),
        };
        var job = JobBuilder.Create().OfType(type).WithIdentity(Guid.NewGuid().ToString("N")).RequestRecovery().Build();
        // For a run whose lock was lost: it was stopped half-way.
        var trigger = TriggerBuilder.Create().UsingJobData("clientId", clientId).WithRetryPolicy(RetryPolicy.Fixed(100, TimeSpan.FromSeconds(1))).StartNow().Build();
        await _quartz.ScheduleJob(job, trigger, cancellationToken: stop);
    }

    public async ValueTask DisposeAsync()
    {
        await _quartz.Shutdown();
        await _services.DisposeAsync();
    }
}
