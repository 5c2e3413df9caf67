using System.Globalization;
using JobLocks.Diagnostics;
using JobLocks.Line;
using Quartz;
using Quartz.Extensibility;

namespace JobLocks.Quartz;

/// <summary>
/// The runs of a Quartz job store that wait in the line: triggers of ours that fire once, at a time so late that nobody reckons with it.
/// Thread-safe.
/// </summary>
internal sealed class QuartzRuns(IScheduler scheduler) : IRunStore
{
    private const string IdEntry = DataKeys.Store;

    // A durable job that never runs: all nodes of a cluster find it, and nobody else.
    private static readonly JobKey Mark = new("store", Rescheduling.Group);

    private volatile string? _id;

    public string? Id => _id;

    /// <summary>Finds the store's own name in it: schedulers of different applications often have the same one.</summary>
    public async ValueTask<string> IdentifyAsync(CancellationToken stop)
    {
        if (_id is { } known) return known;

        if (await ReadAsync(stop).ConfigureAwait(false) is not { } name)
        {
            try
            {
                await scheduler.AddJob(NewMark(), cancellationToken: stop).ConfigureAwait(false);
            }
            catch (ObjectAlreadyExistsException)
            {
                // Another node was quicker.
            }

            name = await ReadAsync(stop).ConfigureAwait(false) ?? throw new SchedulerException($"The job {Mark} was stored, but is not there.");
        }

        var store = await scheduler.GetMetadata(stop).ConfigureAwait(false);
        return _id = store.JobStorePersistent ? $"Quartz {name}" : $"{DeadStores.Volatile}Quartz {name}";
    }

    public async ValueTask<IReadOnlyList<RunFate>> LookAsync(IReadOnlyList<WaitingRun> runs, CancellationToken stop)
    {
        var fates = new List<RunFate>(runs.Count);
        foreach (var run in runs) fates.Add(await LookAsync(KeyOf(run), stop).ConfigureAwait(false));
        return fates;
    }

    public async ValueTask<IReadOnlyList<RunFate>> WakeAsync(IReadOnlyList<WaitingRun> runs, CancellationToken stop)
    {
        var fates = new List<RunFate>(runs.Count);
        foreach (var run in runs) fates.Add(await WakeAsync(run, stop).ConfigureAwait(false));
        return fates;
    }

    private static TriggerKey KeyOf(WaitingRun run) => new(run.Address.Run, Rescheduling.Group);

    private static IJobDetail NewMark() => JobBuilder.Create<StoreMark>()
        .WithIdentity(Mark)
        .WithDescription("Names this job store for JobLocks, so that the runs of it that wait are found. It never runs.")
        .UsingJobData(IdEntry, Guid.NewGuid().ToString("N"))
        .StoreDurably()
        .Build();

    /// <summary>One that fires right now is left alone: given a new time, it would fire twice.</summary>
    private static RunFate FateOf(TriggerState state) => state switch
    {
        TriggerState.None => RunFate.IsGone,
        TriggerState.Executing or TriggerState.Complete => RunFate.Comes,
        _ => RunFate.Waits,
    };

    /// <summary>
    /// One that was woken has the time for which it was due at first, and one that has fired has no further time. No clock is asked: those of two nodes may
    /// be an hour apart.
    /// </summary>
    private async ValueTask<RunFate> LookAsync(TriggerKey key, CancellationToken stop)
    {
        var fate = FateOf(await scheduler.GetTriggerState(key, stop).ConfigureAwait(false));
        if (fate != RunFate.Waits) return fate;

        return await scheduler.GetTrigger(key, stop).ConfigureAwait(false) is { } trigger
            ? trigger.NextFireTimeUtc > DueAt(trigger) ? RunFate.Waits : RunFate.Comes
            : RunFate.IsGone;
    }

    private async ValueTask<RunFate> WakeAsync(WaitingRun run, CancellationToken stop)
    {
        var key = KeyOf(run);
        // Two questions on their way at once: while they are, the lock is free and nobody runs.
        var (asked, read) = (scheduler.GetTriggerState(key, stop).AsTask(), scheduler.GetTrigger(key, stop).AsTask());
        await Task.WhenAll(asked, read).ConfigureAwait(false);
        var state = await asked.ConfigureAwait(false);
        // Somebody has paused it, and wants it to stay so.
        if (state is TriggerState.Paused or TriggerState.Error || FateOf(state) != RunFate.Waits) return FateOf(state);
        if (await read.ConfigureAwait(false) is not { } parked) return RunFate.IsGone;

        var now = parked.GetTriggerBuilder().StartAt(DueAt(parked)).WithSimpleSchedule(static once => once.WithMisfireInstruction(SimpleTriggerMisfireInstruction.IgnoreMisfires)).Build();
        if (now is IMutableTrigger counting && parked is IMutableTrigger counted) counting.RetryAttempt = counted.RetryAttempt;
        using var store = LockTraces.Store(QuartzJobCall.TraceIn(parked.JobDataMap));
        if (run.IsTooLate) throw new TimeoutException("The job store took long to say where the run is: another node may be waking it.");

        return await scheduler.RescheduleJob(key, now, stop).ConfigureAwait(false) is null ? RunFate.IsGone : RunFate.Comes;
    }

    /// <summary>When the run was due, and not now: the scheduler takes what was due first, and others may have come since. That it is late is no misfire.</summary>
    private DateTimeOffset DueAt(ITrigger parked) =>
        DateTimeOffset.TryParse(parked.JobDataMap[DataKeys.DueAt] as string, CultureInfo.InvariantCulture, out var due) ? due : scheduler.TimeProvider.GetUtcNow();

    private async ValueTask<string?> ReadAsync(CancellationToken stop) =>
        await scheduler.GetJobDetail(Mark, stop).ConfigureAwait(false) is { } mark ? mark.JobDataMap[IdEntry] as string : null;
}
