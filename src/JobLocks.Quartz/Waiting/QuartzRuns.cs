using System.Globalization;
using JobLocks.Diagnostics;
using JobLocks.Gate;
using JobLocks.Primitives;
using JobLocks.Quartz.Entering;
using JobLocks.WaitQueue;
using Microsoft.Extensions.Logging;
using Quartz;
using Quartz.Extensibility;

namespace JobLocks.Quartz.Waiting;

/// <summary>
/// The runs of a Quartz job store that wait in the queue: triggers that are held, and stand-ins for firings of triggers that go on. Their time is so
/// late that it never matters. Thread-safe.
/// </summary>
internal sealed class QuartzRuns(IStoredTriggers triggers, IStoreName name, TimeProvider clock, TimeSpan misfireThreshold, ILogger log) : IRunStore
{
    // The store may be cleared, restored or renamed under a running scheduler, and is asked again with the sweeps.
    private static readonly TimeSpan BetweenReads = TimeSpan.FromSeconds(5);

    // The last resort of a run that waits, and a little more.
    private static readonly TimeSpan LatestDue = Queueing.LastResort + TimeSpan.FromMinutes(1);

    private static readonly TimeSpan BetweenLooks = TimeSpan.FromMilliseconds(50);

    private TimeSpan _readAt;
    private int _looksAsked;
    private volatile string? _id;
    private string? _read;

    public string? Id => _id;

    /// <summary>The scheduler of this process that works on the store.</summary>
    public IScheduler? Scheduler { get; set; }

    /// <summary>Its threads.</summary>
    public SchedulerThreads Threads { get; } = new();

    public IReadOnlyList<WorkerPool> FreeWorkers => Scheduler is { Status: SchedulerStatus.Running } ? [new(Queues: null, Threads.Free)] : [];

    public Action WorkerFreed
    {
        set => Threads.Freed = value;
    }

    /// <summary>Schedulers of different applications often have the same name: what tells their stores apart is where these are.</summary>
    public async ValueTask<string> IdentifyAsync(CancellationToken stop) =>
        _id is { } known && BootClock.Now - _readAt < BetweenReads ? known : await ReadNameAsync(stop).ConfigureAwait(false);

    public ValueTask<bool> CanStartRunsAsync(CancellationToken stop) => new(Scheduler is { Status: SchedulerStatus.Running });

    public async ValueTask<EarlierNames> FindNamesAsync(CancellationToken stop)
    {
        await ReadNameAsync(stop).ConfigureAwait(false);
        return new([.. name.Earlier.Same.Select(Named)], [.. name.Earlier.Origins.Select(Named)]);

        static string Named(string name) => $"Quartz {name}";
    }

    /// <summary>Another node has woken a run that prefers this one, or that its own limits hold back.</summary>
    public void LookAgain()
    {
        if (Interlocked.Increment(ref _looksAsked) == 1) _ = Task.Run(LookUntilAskedNoMoreAsync);
    }

    public async ValueTask<IReadOnlyList<RunFate>> LookAsync(IReadOnlyList<WaitingRun> runs, CancellationToken stop)
    {
        var keys = runs.Select(KeyOf).ToList();
        var found = keys.Count == 1 ? [] : (await triggers.FindAsync(keys.ToHashSet(), stop).ConfigureAwait(false)).ToDictionary(static trigger => trigger.Key);
        var fates = new List<RunFate>(runs.Count);
        foreach (var key in keys)
        {
            // Asked about many, a store leaves out a trigger that it cannot read, as if it were gone. Asked about that one alone, it throws.
            var parked = found.GetValueOrDefault(key) ?? await triggers.FindAsync(key, stop).ConfigureAwait(false);
            fates.Add(parked is null ? RunFate.IsGone : FateOf(parked));
        }

        return fates;
    }

    public async ValueTask<IReadOnlyList<RunFate>> WakeAsync(IReadOnlyList<WaitingRun> runs, CancellationToken stop)
    {
        var fates = new List<RunFate>(runs.Count);
        foreach (var run in runs)
        {
            var fate = await WakeAsync(run, stop).ConfigureAwait(false);
            // Another run may have taken the thread that was free when this one was chosen.
            fates.Add(fate == RunFate.Comes && Threads.Free == 0 ? RunFate.ComesElsewhere : fate);
        }

        return fates;
    }

    public async ValueTask<ParkedRuns> FindParkedAsync(string? from, CancellationToken stop)
    {
        var now = clock.GetUtcNow();
        var skip = from is null ? 0 : int.Parse(from, CultureInfo.InvariantCulture);
        var page = await triggers.QueryAsync(new() { NextFireTimeBefore = now + LatestDue, Skip = skip }, stop).ConfigureAwait(false);
        var runs = page.Items.Where(Waits).Select(header => (
            new RunAddress(_id!, StandIn.Is(header.Key) ? header.Key.Name : HeldTrigger.NameOf(header.Key), "") { Job = header.JobKey.ToString() },
            now - header.PreviousFireTimeUtc ?? TimeSpan.Zero)).ToList();
        return new(runs, page.HasMore ? (skip + page.Items.Count).ToString(CultureInfo.InvariantCulture) : null);
    }

    /// <summary>Why the firing is over that has not begun; null where it is not.</summary>
    public async ValueTask<string?> EndOfAsync(IOperableTrigger parked, CancellationToken stop)
    {
        var now = clock.GetUtcNow();
        if (parked.EndTimeUtc <= now) return $"its trigger {parked.Key} has ended at {parked.EndTimeUtc:u}";
        if (StandIn.In(parked.JobDataMap) is not { } standIn) return null;

        if (await triggers.FindAsync(standIn.Origin, stop).ConfigureAwait(false) is { } origin)
        {
            if (origin.EndTimeUtc <= now) return $"its trigger {origin.Key} has ended at {origin.EndTimeUtc:u}";
            return await triggers.StateOfAsync(origin.Key, stop).ConfigureAwait(false) == TriggerState.Complete ? $"its trigger {origin.Key} was unscheduled" : null;
        }

        // It has fired for the last time: with an unscheduled trigger, its stand-ins went too.
        return null;
    }

    /// <summary>Whether the trigger for whose firing a stand-in waits is paused by hand.</summary>
    public async ValueTask<bool> IsPausedAsync(StandIn? standIn, CancellationToken stop) =>
        standIn is not null && await triggers.StateOfAsync(standIn.Origin, stop).ConfigureAwait(false) == TriggerState.Paused;

    private async ValueTask<string> ReadNameAsync(CancellationToken stop)
    {
        _read = await name.ReadAsync(_read, stop).ConfigureAwait(false);
        _readAt = BootClock.Now;
        return _id = await triggers.IsPersistentAsync(stop).ConfigureAwait(false) ? $"Quartz {_read}" : $"{VolatileStore.Prefix}Quartz {_read}";
    }

    private static bool Waits(TriggerHeader header) =>
        HeldTrigger.Waits(header.RetryAttempt) || (StandIn.Is(header.Key) && StandIn.Waits(header.Description));

    /// <summary>Many wakes, and a stranger who floods the channel, cost one look in a while.</summary>
    private async Task LookUntilAskedNoMoreAsync()
    {
        var answered = 0;
        do
        {
            if (answered > 0) await Task.Delay(BetweenLooks).ConfigureAwait(false);
            answered = Volatile.Read(ref _looksAsked);
            try
            {
                if (Scheduler is { Status: SchedulerStatus.Running }) await triggers.SignalAsync(CancellationToken.None).ConfigureAwait(false);
            }
            catch (Exception broken)
            {
                // Its next poll finds the run.
                log.CannotLookAgain(broken);
            }
        }
        while (Interlocked.Add(ref _looksAsked, -answered) > 0);
    }

    private static TriggerKey KeyOf(WaitingRun run) => HeldTrigger.KeyIn(run.Address.Run) ?? new(run.Address.Run, StandIn.Group);

    /// <summary>
    /// A trigger without our mark was replaced by hand, where it has no past; else its time has come, and it fires late. A stand-in that was woken has
    /// the time at which its run was due.
    /// </summary>
    private RunFate FateOf(IOperableTrigger parked)
    {
        if (parked.NextFireTimeUtc is not { } next) return RunFate.Comes;
        if (HeldTrigger.Is(parked)) return HeldTrigger.IsWoken(parked) ? RunFate.ComesElsewhere : HeldTrigger.Waits(parked.RetryAttempt) ? RunFate.Waits : RunFate.IsPutOff;
        if (!StandIn.Is(parked.Key)) return parked.PreviousFireTimeUtc is null ? RunFate.IsGone : HeldTrigger.HasLostMark(parked, clock.GetUtcNow() + misfireThreshold) ? RunFate.Waits : RunFate.Comes;

        var isWoken = !(next > HeldTrigger.TimeIn(parked.JobDataMap, DataKeys.DueAt));
        return isWoken ? RunFate.ComesElsewhere : StandIn.Waits(parked.Description) ? RunFate.Waits : RunFate.IsPutOff;
    }

    private async ValueTask<RunFate> WakeAsync(WaitingRun run, CancellationToken stop)
    {
        var key = KeyOf(run);
        // Two questions on their way at once: while they are, the lock is free and stays unused.
        var (asked, read) = (triggers.StateOfAsync(key, stop).AsTask(), triggers.FindAsync(key, stop).AsTask());
        await Task.WhenAll(asked, read).ConfigureAwait(false);
        if (await read.ConfigureAwait(false) is not { } parked) return RunFate.IsGone;

        if (FateOf(parked) is var fate and not (RunFate.Waits or RunFate.IsPutOff)) return fate;
        var state = await asked.ConfigureAwait(false);
        if (state is TriggerState.Paused or TriggerState.Error) return RunFate.IsHeldBack;
        // By another run of a job that allows only one.
        if (state == TriggerState.Blocked) return RunFate.Waits;
        if (await EndOfAsync(parked, stop).ConfigureAwait(false) is { } end) return await DropAsync(parked, end, stop).ConfigureAwait(false);
        if (StandIn.In(parked.JobDataMap) is { } standIn)
        {
            if (await IsPausedAsync(standIn, stop).ConfigureAwait(false)) return RunFate.IsHeldBack;

            // Its origin was asked about meanwhile.
            var change = await triggers.SinceReadAsync(parked, stop).ConfigureAwait(false);
            if (change is TriggerChange.Paused or TriggerChange.Failed) return RunFate.IsHeldBack;
            if (change != TriggerChange.None) throw new InvalidOperationException($"The trigger {key} was changed while its run was woken.");
        }

        if (HeldTrigger.Is(parked) || !StandIn.Is(parked.Key)) HeldTrigger.Wake(parked, InTimeFor(parked, run.Waited));
        else parked.NextFireTimeUtc = InTimeFor(parked, run.Waited);
        using var span = LockTraces.Store(QuartzJobCall.TraceIn(parked.JobDataMap));
        if (!await MoveInTimeAsync(run, parked, stop).ConfigureAwait(false)) return RunFate.IsGone;

        return await MayStartHereAsync(parked, stop).ConfigureAwait(false) ? RunFate.Comes : RunFate.ComesElsewhere;
    }

    /// <summary>
    /// Whether nothing but a missing thread keeps the scheduler here from the trigger: Quartz leaves one to the node that it prefers while that is alive,
    /// and one of an execution group to nodes that serve the group and are below its limit.
    /// </summary>
    private async ValueTask<bool> MayStartHereAsync(IOperableTrigger woken, CancellationToken stop)
    {
        if (Scheduler is not { } here) return true;
        if (woken.PreferredNode.Node is { } preferred && !string.Equals(preferred, here.SchedulerInstanceId, StringComparison.Ordinal)) return false;

        return woken.ExecutionGroup is null && await here.GetExecutionLimits(stop).ConfigureAwait(false) is null;
    }

    /// <summary>A store that hangs must not write later: by then, a sweep may have another node wake the run, and it would run twice.</summary>
    private async ValueTask<bool> MoveInTimeAsync(WaitingRun run, IOperableTrigger parked, CancellationToken stop)
    {
        using var inTime = CancellationTokenSource.CreateLinkedTokenSource(stop);
        if (run.TellBy < TimeSpan.MaxValue && run.TellBy - BootClock.Now is var left)
        {
            if (left <= TimeSpan.Zero) throw new TimeoutException("The job store took long to say where the run is: another node may be waking it.");
            inTime.CancelAfter(left);
        }

        return await triggers.MoveAsync(parked, inTime.Token).ConfigureAwait(false);
    }

    /// <summary>
    /// As early as the run was due, since the scheduler takes what was due first, but not so early that it would be a misfire. The clock of the node is
    /// not asked: another one may fire it. A stand-in never misfires.
    /// </summary>
    private DateTimeOffset InTimeFor(IOperableTrigger parked, TimeSpan waited)
    {
        if (StandIn.Is(parked.Key)) return HeldTrigger.TimeIn(parked.JobDataMap, DataKeys.DueAt) ?? clock.GetUtcNow();

        // The store goes on with the occurrence after the time of the wake. Where a policy keeps one of those that came due meanwhile, or none, no other
        // node is to fire one of them at once.
        var keepsAll = parked.OverlapPolicy is OverlapPolicy.Default or OverlapPolicy.AllowAll;
        var late = keepsAll ? waited - ((parked.MisfireThreshold ?? misfireThreshold) / 4) : waited;
        return (parked.PreviousFireTimeUtc ?? clock.GetUtcNow()) + (late > TimeSpan.Zero ? late : TimeSpan.Zero);
    }

    private async ValueTask<RunFate> DropAsync(IOperableTrigger parked, string because, CancellationToken stop)
    {
        log.Over(parked.JobKey.ToString(), because);
        await triggers.DeleteAsync(parked.Key, stop).ConfigureAwait(false);
        return RunFate.IsGone;
    }
}
