using JobLocks.Quartz.Tests.Support;
using Quartz;

namespace JobLocks.Quartz.Tests.Mechanisms;

/// <summary>
/// Nothing in Quartz can tell a run that waited or was rescheduled from one that simply started later. The tests here use what Quartz itself
/// offers to see the difference.
/// </summary>
public abstract class MechanismFixture : QuartzFixture
{
    /// <summary>The trigger and the job of the run that is put off.</summary>
    private protected static readonly TriggerKey Mine = new("run", "mine");
    private protected static readonly JobKey MyJob = new("job", "mine");

    /// <summary>When the trigger of the run is due. At once, and the same for two schedulers.</summary>
    private protected DateTimeOffset Start { get; private set; }

    [SetUp]
    public void ChooseStart() => Start = DateTimeOffset.FromUnixTimeSeconds(TimeProvider.System.GetUtcNow().ToUnixTimeSeconds());

    /// <summary>
    /// For a trigger that must not be late when it fires, and for a repeating simple trigger: Quartz moves its start to now where that has passed.
    /// </summary>
    private protected DateTimeOffset StartSoon()
    {
        ChooseStart();
        return Start = Start.AddSeconds(2);
    }

    /// <summary>Once, soon, and then a day later. A cron trigger never fires for a time that has passed when it is scheduled.</summary>
    private protected void SetCron(TriggerBuilder<IJob> trigger, CronTriggerMisfireInstruction misfires = CronTriggerMisfireInstruction.SmartPolicy)
    {
        trigger.StartAt(StartSoon()).WithCronSchedule(
            $"{Start.Second} {Start.Minute} {Start.Hour} * * ?", cron => cron.InTimeZone(TimeZoneInfo.Utc).WithMisfireInstruction(misfires));
    }

    private protected static Type JobType(PutOff how) => how == PutOff.Wait ? typeof(WaitingJob) : typeof(ReschedulingJob);

    /// <summary>One that may not run twice at once, by Quartz's own attribute.</summary>
    private protected static Type SerialJobType(PutOff how) => how == PutOff.Wait ? typeof(WaitingSerialJob) : typeof(ReschedulingSerialJob);

    private protected async Task<Watched> StartWatchedAsync(Store store, Func<NodeSettings, NodeSettings>? set = null)
    {
        var (heard, log) = (new Heard(), new LogLines());
        IServiceProvider? services = null;
        var node = await StartNodeAsync(store, settings =>
        {
            settings = set?.Invoke(settings) ?? settings;
            return settings with
            {
                Loggers = log,
                After = quartz =>
                {
                    quartz.Services.AddQuartzExecutionHistory();
                    settings.After?.Invoke(quartz);
                    quartz.AddTriggerListener(heard).AddJobListener(heard).AddSchedulerListener(provider =>
                    {
                        services = provider;
                        return heard;
                    });
                },
            };
        });
        return new(node, heard, log, services!);
    }

    /// <summary>A scheduler without JobLocks, beside the others.</summary>
    private protected Task<Watched> StartBareAsync(Store store) =>
        StartWatchedAsync(store, static settings => settings with { IsBare = true, Cluster = settings.Cluster + "-bare" });

    /// <summary>Schedules a job of this test. It fires now unless the trigger says otherwise.</summary>
    private protected async Task<ITrigger> ScheduleAsync(
        Watched node, Type type, Action<TriggerBuilder<IJob>>? trigger = null, Action<JobBuilder<IJob>>? job = null)
    {
        var (detail, built) = (Job(type, job), Trigger(trigger));
        await node.Scheduler.ScheduleJob(detail, built);
        return built;
    }

    private protected static IJobDetail Job(Type type, Action<JobBuilder<IJob>>? set = null)
    {
        var builder = JobBuilder.Create().OfType(type).WithIdentity(MyJob);
        set?.Invoke(builder);
        return builder.Build();
    }

    private protected ITrigger Trigger(Action<TriggerBuilder<IJob>>? set = null)
    {
        var builder = TriggerBuilder.Create().WithIdentity(Mine).StartAt(Start).WithMisfireThreshold(TimeSpan.FromMinutes(1)).UsingJobData(Scene.Key, Scene.Id);
        set?.Invoke(builder);
        return builder.Build();
    }

    /// <summary>Waits until a run of the scene's lock is put off and its firing is over in the store.</summary>
    private protected async Task IsPutOffAsync(Watched node, PutOff how, int runs = 1)
    {
        if (how == PutOff.Wait) await ParkedAsync(runs);
        await IsRefusedAsync(node, Scene.LockName);
    }

    private protected static async Task IsRefusedAsync(Watched node, string lockName)
    {
        await Eventually.IsTrue(
            () => Task.FromResult(node.Log.All.Any(line => line.Contains(lockName, StringComparison.Ordinal))), $"the refusal under {lockName}");
        await node.Node.IsIdleAsync();
    }

    /// <summary>Lets time pass, by the trigger of a scheduler that has nothing else to do.</summary>
    private protected async Task PassAsync(TimeSpan time)
    {
        using var clock = new Scene();
        var bare = await StartNodeAsync(Store.Ram, static settings => settings with { IsBare = true, Cluster = Guid.NewGuid().ToString("N") });
        await bare.RunAsync<PlainJob>(clock, trigger => trigger.StartAt(TimeProvider.System.GetUtcNow() + time));
        await clock.NextRunAsync();
        await EndAsync(bare);
    }

    /// <summary>Longer than a rescheduled run stays away, and than a sweep takes.</summary>
    private protected Task NothingElseComesAsync() => PassAsync(TimeSpan.FromSeconds(2.5));

    /// <summary>The next run has ended, in the store as well.</summary>
    private protected async Task<Run> RunEndsAsync(Watched node)
    {
        var run = await Scene.NextRunAsync();
        await node.Node.Told.NextEndAsync();
        await node.Node.IsIdleAsync();
        return run;
    }

    /// <summary>
    /// What the same story comes to where JobLocks is not set up, and where its run is put off. Each node tells it once; the run itself is
    /// <see cref="Scene.Act"/>'s business.
    /// </summary>
    private protected async Task<(T Bare, T PutOff)> OnBothAsync<T>(Store store, PutOff how, Func<Watched, Task> schedule, Func<Watched, Task<T>> look)
    {
        var bare = await StartBareAsync(store);
        await schedule(bare);
        var expected = await look(bare);

        var node = await StartWatchedAsync(store);
        var others = await OthersHoldAsync();
        await schedule(node);
        await IsPutOffAsync(node, how);
        await others.DisposeAsync();
        return (expected, await look(node));
    }
}
