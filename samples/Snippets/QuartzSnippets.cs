using JobLocks;
using JobLocks.Quartz;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Quartz;

namespace Snippets;

[JobLock("sync({clientId})", OnConflict = OnConflict.Skip)]     // the same lock as the Hangfire job's
public sealed class ClientSyncJob : IJob
{
    public async ValueTask Execute(IJobExecutionContext context, CancellationToken cancellationToken = default)
    {
        var clientId = context.MergedJobDataMap.GetInt("clientId");
        await Task.Delay(TimeSpan.FromSeconds(clientId), cancellationToken);
    }
}

internal sealed class SomebodysJob : IJob
{
    public ValueTask Execute(IJobExecutionContext context, CancellationToken cancellationToken = default) => default;
}

internal static class QuartzSetup
{
    public static void WithContainer(string[] args, string connectionString)
    {
        var builder = Host.CreateApplicationBuilder(args);
        builder.Services.AddJobLocks(connectionString);
        builder.Services.AddQuartz(quartz => quartz.UseJobLocks());
        builder.Services.AddQuartzHostedService();
        builder.Build().Run();
    }

    public static async Task WithoutContainer(string connectionString)
    {
        await using var locks = AdvisoryLocks.Connect(connectionString);
        var scheduler = await QuartzSchedulerBuilder.Create(quartz => quartz.UseJobLocks(locks)).BuildScheduler();
        await scheduler.Start();
        Console.ReadLine();
        await scheduler.Shutdown(waitForJobsToComplete: true);
    }

    public static void OnAnExistingScheduler(IScheduler scheduler, IJobLocks locks) => scheduler.UseJobLocks(locks);

    public static async Task ForeignJob(IScheduler scheduler)
    {
        var job = JobBuilder.Create<SomebodysJob>()
            .WithIdentity("import")
            .WithJobLock("sync({clientId})", OnConflict.Skip)
            .Build();
        var trigger = TriggerBuilder.Create()
            .UsingJobData("clientId", 4)
            .StartNow()
            .Build();
        await scheduler.ScheduleJob(job, trigger);
    }
}
