using System.Globalization;
using JobLocks.Quartz;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Npgsql;
using Quartz;

namespace JobLocks.Benchmarks.Schedulers;

/// <summary>A node of a Quartz cluster that finds all its triggers due.</summary>
internal sealed class QuartzTurn(Bench bench)
{
    public const int Threads = 20;

    private const string Groups = "bench:";

    // Longer than any turn: a trigger that had to wait is no misfire here.
    private static readonly TimeSpan MisfireThreshold = TimeSpan.FromMinutes(10);

    public async Task<double> RunAsync(QuartzWay way, int jobs, CancellationToken stop)
    {
        await using var schema = await Schema.CreateAsync(bench.Database, "quartz", stop);
        await using var services = CreateServices(schema, way);
        var scheduler = await services.GetRequiredService<ISchedulerFactory>().GetScheduler(stop);
        await ScheduleAsync(scheduler, way, jobs, stop);
        // A host does so when it starts.
        if (way == QuartzWay.JobLock) await ((AdvisoryLocks)services.GetRequiredService<IJobLocks>()).EnsureSessionAsync(stop);

        var finish = Finish.Await(jobs);
        await scheduler.Start(stop);
        var rate = await finish.JobsPerSecondAsync(stop);
        await scheduler.Shutdown(waitForJobsToComplete: true, stop);
        return rate;
    }

    private ServiceProvider CreateServices(Schema schema, QuartzWay way)
    {
        var services = new ServiceCollection();
        services.AddLogging(static logging => logging.SetMinimumLevel(LogLevel.None));
        services.AddJobLocks(bench.Database.ConnectionString("quartz locks"));
        services.AddQuartz(quartz =>
        {
            quartz
                .ConfigureScheduler(static options =>
                {
                    options.InstanceName = "benchmark";
                    options.InstanceId = "node";
                    options.MaxBatchSize = Threads;
                    options.IdleWaitTime = TimeSpan.FromSeconds(1);
                })
                .UseDefaultThreadPool(Threads)
                .UsePersistentStore(store => store
                    .UsePostgres(NpgsqlFactory.Instance, schema.ConnectionString)
                    .ProvisionSchema()
                    .ConfigureStore(static options => options.MisfireThreshold = MisfireThreshold)
                    .UseClustering(static clustering => clustering.Enabled = true));
            if (way == QuartzWay.JobLock) quartz.UseJobLocks();
            if (way == QuartzWay.ExecutionGroups) quartz.UseExecutionLimits(static limits => limits.ForGroupsWithPrefix(Groups, 1, ExecutionLimitScope.Cluster));
        });
        return services.BuildServiceProvider();
    }

    private static Task ScheduleAsync(IScheduler scheduler, QuartzWay way, int jobs, CancellationToken stop) => way == QuartzWay.JobLock
        ? ScheduleAsync<LockedQuartzJob>(scheduler, isGrouped: false, jobs, stop)
        : ScheduleAsync<BareQuartzJob>(scheduler, way == QuartzWay.ExecutionGroups, jobs, stop);

    private static async Task ScheduleAsync<TJob>(IScheduler scheduler, bool isGrouped, int jobs, CancellationToken stop)
        where TJob : IJob
    {
        var job = JobBuilder.Create<TJob>().WithIdentity("job").StoreDurably().Build();
        var triggers = Enumerable.Range(0, jobs).Select(n =>
        {
            var trigger = TriggerBuilder.Create<TJob>().WithIdentity(n.ToString(CultureInfo.InvariantCulture)).ForJob(job).UsingJobData("n", n).StartNow();
            if (isGrouped) trigger.WithExecutionGroup(string.Create(CultureInfo.InvariantCulture, $"{Groups}{n}"));
            return trigger.Build();
        });
        await scheduler.ScheduleJob(job, triggers.ToList(), cancellationToken: stop);
    }
}
