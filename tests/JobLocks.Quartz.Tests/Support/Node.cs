using JobLocks.Quartz.Entering;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Npgsql;
using Quartz;

namespace JobLocks.Quartz.Tests.Support;

public enum Store
{
    Ram,
    Ado,
}

/// <summary>How a test wants its node.</summary>
internal sealed record NodeSettings(string Database, string Cluster)
{
    public Store Store { get; init; }

    /// <summary>What is set before JobLocks.</summary>
    public Action<IQuartzBuilder>? Before { get; init; }

    /// <summary>What is set after JobLocks.</summary>
    public Action<IQuartzBuilder>? After { get; init; }

    /// <summary>True for a scheduler that JobLocks is not set up for.</summary>
    public bool IsBare { get; init; }

    /// <summary>Where the job store is; null where the locks are.</summary>
    public string? StoreDatabase { get; init; }

    /// <summary>What the names of the job store's tables begin with.</summary>
    public string TablePrefix { get; init; } = "QRTZ_";

    /// <summary>True for <c>scheduler.UseJobLocks(locks)</c>.</summary>
    public bool ByHand { get; init; }

    /// <summary>True for a database that keeps no data but texts.</summary>
    public bool KeepsTextsOnly { get; init; }

    /// <summary>How late a firing of a stored trigger may be before it counts as missed, and how often that is looked for.</summary>
    public TimeSpan MisfireThreshold { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>The locks to use, which outlive the node; null for locks of its own.</summary>
    public AdvisoryLocks? Locks { get; init; }

    /// <summary>Where its log goes; null for nowhere.</summary>
    public ILoggerProvider? Loggers { get; init; }

    /// <summary>False leaves the scheduler as it was made.</summary>
    public bool IsStarted { get; init; } = true;
}

/// <summary>A scheduler with a container and a lock session of its own, as another process would have them.</summary>
internal sealed class Node : IAsyncDisposable
{
    private static readonly TimeSpan Checkin = TimeSpan.FromMilliseconds(500);

    private readonly ServiceProvider _services;

    private Node(ServiceProvider services, IScheduler scheduler, Told told)
    {
        _services = services;
        Scheduler = scheduler;
        Told = told;
        JobStore = services.GetRequiredService<Watch>().Store!;
    }

    /// <summary>What JobLocks asks for the job store's part.</summary>
    public WatchedJobStore JobStore { get; }

    public IScheduler Scheduler { get; }

    /// <summary>The locks of this node.</summary>
    public IJobLocks Locks => _services.GetRequiredService<IJobLocks>();

    public Told Told { get; }

    public static async Task<Node> StartAsync(NodeSettings settings)
    {
        var told = new Told();
        var services = new ServiceCollection();
        services.AddLogging(logging =>
        {
            logging.SetMinimumLevel(settings.Loggers is null ? LogLevel.None : LogLevel.Information);
            if (settings.Loggers is { } loggers) logging.AddProvider(loggers);
        });
        // As instances, of which the container disposes none.
        if (settings.Locks is { } lent) services.AddSingleton(lent).AddSingleton<IJobLocks>(lent);
        services.AddJobLocks(settings.Database, SetUp);
        services.AddSingleton<Watch>();
        services.AddQuartz(quartz => Configure(quartz, settings, told));
        var provider = services.BuildServiceProvider();

        var factory = provider.GetRequiredService<ISchedulerFactory>();
        var scheduler = await factory.GetScheduler();
        if (settings.ByHand) scheduler.UseJobLocks(provider.GetRequiredService<IJobLocks>());
        if (settings.IsStarted) await scheduler.Start();
        return new(provider, scheduler, told);
    }

    /// <summary>The options of a node's locks.</summary>
    public static void SetUp(JobLocksOptions options) => options.HeartbeatInterval = TimeSpan.FromMilliseconds(200);

    /// <summary>Runs a job once, now. It is gone afterwards.</summary>
    public Task<ITrigger> RunAsync<TJob>(Scene scene, Action<TriggerBuilder<TJob>>? trigger = null, Action<JobBuilder<TJob>>? job = null)
        where TJob : IJob =>
        RunAsync(
            builder =>
            {
                builder.UsingJobData(Scene.Key, scene.Id);
                trigger?.Invoke(builder);
            },
            job);

    public async Task<ITrigger> RunAsync<TJob>(Action<TriggerBuilder<TJob>>? trigger, Action<JobBuilder<TJob>>? job = null)
        where TJob : IJob
    {
        var jobBuilder = JobBuilder.Create<TJob>().WithIdentity(Guid.NewGuid().ToString("N"));
        job?.Invoke(jobBuilder);
        var triggerBuilder = TriggerBuilder.Create<TJob>().StartNow();
        trigger?.Invoke(triggerBuilder);
        var (detail, built) = (jobBuilder.Build(), triggerBuilder.Build());
        await Scheduler.ScheduleJob(detail, built);
        return built;
    }

    public async Task IsIdleAsync() => await Eventually.IsTrueOf(
        async () => (await Scheduler.QueryFireInstances(new())).Items.Count,
        static count => count == 0,
        "runs of the scheduler");

    public async ValueTask DisposeAsync()
    {
        await Scheduler.Shutdown(waitForJobsToComplete: false);
        await _services.DisposeAsync();
    }

    private static void Configure(IQuartzBuilder quartz, NodeSettings settings, Told told)
    {
        quartz.ConfigureScheduler(options =>
        {
            options.InstanceName = settings.Cluster;
            options.InstanceId = Guid.NewGuid().ToString("N");
            options.IdleWaitTime = TimeSpan.FromSeconds(1);
        });
        quartz.UseDefaultThreadPool(4);
        if (settings.Store == Store.Ado) quartz.UsePersistentStore(store => Configure(store, settings));

        quartz.Services.ConfigureAllQuartzSchedulers(built => JobStoreRegistration.Decorate(built, (store, services) => services.GetRequiredService<Watch>().Store = new(store, told)));
        settings.Before?.Invoke(quartz);
        if (!settings.ByHand && !settings.IsBare) quartz.UseJobLocks();
        settings.After?.Invoke(quartz);
        quartz.AddTriggerListener(told).AddJobListener(told).AddSchedulerListener(told);
    }

    private static void Configure(IPersistentStoreBuilder store, NodeSettings settings) => store
        .UsePostgres(NpgsqlFactory.Instance, settings.StoreDatabase ?? settings.Database)
        .ProvisionSchema()
        .ConfigureStore(options =>
        {
            options.TablePrefix = settings.TablePrefix;
            options.StoreJobDataAsStrings = settings.KeepsTextsOnly;
            options.MisfireThreshold = settings.MisfireThreshold;
            options.DbRetryInterval = Checkin;
            options.TransientRetryInterval = Checkin;
        })
        .UseClustering(static clustering =>
        {
            clustering.Enabled = true;
            clustering.CheckinInterval = Checkin;
            clustering.CheckinMisfireThreshold = Checkin;
        });

    private sealed class Watch
    {
        public WatchedJobStore? Store { get; set; }
    }
}
