using System.Diagnostics.CodeAnalysis;
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
/// The waiting runs of a Quartz job store: held triggers, and stand-ins for firings of triggers that continue their schedule. They are due so late that
/// normally a wake-up starts them first. Thread-safe.
/// </summary>
[SuppressMessage("Design", "CA1001:Types that own disposable fields should be disposable", Justification = "A semaphore without a wait handle and a token source without a timer have nothing to dispose.")]
internal sealed class QuartzRuns(IStoredTriggers triggers, IStoreId storeId, TimeProvider clock, TimeSpan misfireThreshold, ILogger log) : IRunStore
{
    // The store may be cleared, restored or renamed while the scheduler runs, so its id is read again with the sweeps.
    private static readonly TimeSpan BetweenReads = TimeSpan.FromSeconds(5);

    // How far ahead waiting runs are searched: the time after which a waiting run starts without a wake-up, and one minute.
    private static readonly TimeSpan LatestDue = Queueing.UnwokenStartDelay + TimeSpan.FromMinutes(1);

    private static readonly TimeSpan BetweenSignals = TimeSpan.FromMilliseconds(50);

    // One thread at a time reads the id. A store in memory would otherwise get two ids.
    private readonly SemaphoreSlim _reading = new(1, 1);
    private long _readAtTicks;
    // Accessed only by the holder of _reading.
    private string? _read;
    private readonly CancellationTokenSource _shuttingDown = new();
    private int _signalsRequested;
    private volatile string? _id;
    private volatile IScheduler? _scheduler;

    public string? Id => _id;

    /// <summary>The scheduler of this process that works on the store.</summary>
    public IScheduler? Scheduler { get => _scheduler; set => _scheduler = value; }

    /// <summary>Cancelled when the scheduler begins to shut down.</summary>
    public CancellationToken ShuttingDown => _shuttingDown.Token;

    /// <summary>The threads of the scheduler.</summary>
    public SchedulerThreads Threads { get; } = new();

    public IReadOnlyList<WorkerPool> FreeWorkers => Scheduler is { Status: SchedulerStatus.Running } ? [new(Queues: null, Threads.Free)] : [];

    public int RoomToWait(double share) => Scheduler is { Status: SchedulerStatus.Running } ? Threads.RoomToWait(share) : 0;

    public Action WorkerFreed
    {
        set => Threads.Freed = value;
    }

    /// <summary>
    /// The id of the store, read again after five seconds. It includes the location: schedulers of different applications often have the same name.
    /// </summary>
    public async ValueTask<string> IdentifyAsync(CancellationToken stop) =>
        _id is { } known && IsFresh ? known : await ReadIdAsync(mayBeFresh: true, stop).ConfigureAwait(false);

    /// <summary>The scheduler begins to shut down: no run waits in a thread any more.</summary>
    public void OnShuttingDown() => _ = _shuttingDown.CancelAsync();

    public ValueTask<bool> CanStartRunsAsync(CancellationToken stop) => new(Scheduler is { Status: SchedulerStatus.Running });

    public async ValueTask<OtherStoreIds> FindOtherIdsAsync(CancellationToken stop)
    {
        await ReadIdAsync(mayBeFresh: false, stop).ConfigureAwait(false);
        return new([.. storeId.OtherIds.Aliases.Select(WithPrefix)], [.. storeId.OtherIds.OriginPrefixes.Select(WithPrefix)]);

        static string WithPrefix(string id) => $"Quartz {id}";
    }

    /// <summary>
    /// Makes the scheduler query the store: another node has woken a run that prefers this node, or that the other node's limits keep from starting there.
    /// </summary>
    public void RequeryStore()
    {
        if (Interlocked.Increment(ref _signalsRequested) == 1) _ = Task.Run(SignalWhileRequestedAsync);
    }

    public async ValueTask<IReadOnlyList<ParkedRunState>> GetStatesAsync(IReadOnlyList<WaitingRun> runs, CancellationToken stop)
    {
        var keys = runs.Select(KeyOf).ToList();
        var found = keys.Count == 1 ? [] : (await triggers.FindAsync(keys.ToHashSet(), stop).ConfigureAwait(false)).ToDictionary(static trigger => trigger.Key);
        var states = new List<ParkedRunState>(runs.Count);
        foreach (var key in keys)
        {
            // A query for many triggers omits a trigger that the store cannot read, as if it were deleted. A query for that one alone throws.
            var parked = found.GetValueOrDefault(key) ?? await triggers.FindAsync(key, stop).ConfigureAwait(false);
            states.Add(parked is null ? ParkedRunState.Gone : StateOf(parked));
        }

        return states;
    }

    public async ValueTask<IReadOnlyList<ParkedRunState>> WakeAsync(IReadOnlyList<WaitingRun> runs, CancellationToken stop)
    {
        var states = new List<ParkedRunState>(runs.Count);
        foreach (var run in runs)
        {
            var state = await WakeAsync(run, stop).ConfigureAwait(false);
            // Another run may occupy the thread that was free when this run was chosen.
            states.Add(state == ParkedRunState.Starting && Threads.Free == 0 ? ParkedRunState.StartingAnywhere : state);
        }

        return states;
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

    /// <summary>Why a firing that has not begun must not run any more; null if it may run.</summary>
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

        // The original trigger does not exist any more because it has fired for the last time. Unscheduling it would have deleted its stand-ins too.
        return null;
    }

    /// <summary>Whether an operator has paused the trigger for whose firing a stand-in waits.</summary>
    public async ValueTask<bool> IsPausedAsync(StandIn? standIn, CancellationToken stop) =>
        standIn is not null && await triggers.StateOfAsync(standIn.Origin, stop).ConfigureAwait(false) == TriggerState.Paused;

    private bool IsFresh => BootClock.Now.Ticks - Volatile.Read(ref _readAtTicks) < BetweenReads.Ticks;

    private async ValueTask<string> ReadIdAsync(bool mayBeFresh, CancellationToken stop)
    {
        await _reading.WaitAsync(stop).ConfigureAwait(false);
        try
        {
            if (mayBeFresh && _id is { } known && IsFresh) return known;

            _read = await storeId.ReadAsync(_read, stop).ConfigureAwait(false);
            Volatile.Write(ref _readAtTicks, BootClock.Now.Ticks);
            return _id = await triggers.IsPersistentAsync(stop).ConfigureAwait(false) ? $"Quartz {_read}" : $"{VolatileStore.Prefix}Quartz {_read}";
        }
        finally
        {
            _reading.Release();
        }
    }

    private static bool Waits(TriggerHeader header) =>
        HeldTrigger.Waits(header.RetryAttempt) || (StandIn.Is(header.Key) && StandIn.Waits(header.Description));

    /// <summary>Signals the scheduler at most once in 50 ms, even for many wakes or a client that floods the notification channel.</summary>
    private async Task SignalWhileRequestedAsync()
    {
        var answered = 0;
        do
        {
            if (answered > 0) await Task.Delay(BetweenSignals).ConfigureAwait(false);
            answered = Volatile.Read(ref _signalsRequested);
            try
            {
                if (Scheduler is { Status: SchedulerStatus.Running }) await triggers.SignalAsync(CancellationToken.None).ConfigureAwait(false);
            }
            catch (Exception broken)
            {
                // The scheduler finds the run at its next poll.
                log.CannotRequery(broken);
            }
        }
        while (Interlocked.Add(ref _signalsRequested, -answered) > 0);
    }

    private static TriggerKey KeyOf(WaitingRun run) => HeldTrigger.KeyIn(run.Address.Run) ?? new(run.Address.Run, StandIn.Group);

    /// <summary>The state of a parked run, from its trigger as it is stored.</summary>
    private ParkedRunState StateOf(IOperableTrigger parked) => parked switch
    {
        // The last firing of the trigger has started.
        { NextFireTimeUtc: null } => ParkedRunState.Started,
        // A held trigger. Its mark says whether it was woken, waits for its lock, or is rescheduled for a short time.
        _ when HeldTrigger.IsWoken(parked) => ParkedRunState.StartingAnywhere,
        _ when HeldTrigger.Waits(parked.RetryAttempt) => ParkedRunState.Parked,
        _ when HeldTrigger.HasMark(parked) => ParkedRunState.Rescheduled,
        // A trigger of the application without a mark. If it has not fired yet, an operator has replaced the held one.
        _ when !StandIn.Is(parked.Key) && parked.PreviousFireTimeUtc is null => ParkedRunState.Gone,
        // If it has fired and still has the time of a held trigger, the end of an earlier run has cleared the mark.
        _ when !StandIn.Is(parked.Key) && HeldTrigger.HasLostMark(parked, clock.GetUtcNow() + misfireThreshold) => ParkedRunState.Parked,
        // Close to its time, and for a trigger that measures its interval from the end of a run, that cannot be told: it may still wait.
        _ when !StandIn.Is(parked.Key) && MayHaveLostMark(parked) => ParkedRunState.Starting,
        _ when !StandIn.Is(parked.Key) => ParkedRunState.Started,
        // A woken stand-in has the time at which its run was due. Before its wake, the time is later.
        _ when !(parked.NextFireTimeUtc > HeldTrigger.TimeIn(parked.JobDataMap, DataKeys.DueAt)) => ParkedRunState.StartingAnywhere,
        _ when StandIn.Waits(parked.Description) => ParkedRunState.Parked,
        _ => ParkedRunState.Rescheduled,
    };

    private bool MayHaveLostMark(IOperableTrigger parked) =>
        HeldTrigger.HasLostMark(parked, clock.GetUtcNow()) || (HeldTrigger.HasFixedDelay(parked) && parked.NextFireTimeUtc > clock.GetUtcNow());

    private async ValueTask<ParkedRunState> WakeAsync(WaitingRun run, CancellationToken stop)
    {
        var key = KeyOf(run);
        // Both queries run at the same time, because the lock is free and unused meanwhile.
        var (stateQuery, triggerQuery) = (triggers.StateOfAsync(key, stop).AsTask(), triggers.FindAsync(key, stop).AsTask());
        await Task.WhenAll(stateQuery, triggerQuery).ConfigureAwait(false);
        if (await triggerQuery.ConfigureAwait(false) is not { } parked) return ParkedRunState.Gone;

        if (StateOf(parked) is var state and not (ParkedRunState.Parked or ParkedRunState.Rescheduled)) return state;
        var triggerState = await stateQuery.ConfigureAwait(false);
        if (triggerState is TriggerState.Paused or TriggerState.Error) return ParkedRunState.Paused;
        // Another run of the same job blocks the trigger, because the job disallows concurrent execution.
        if (triggerState == TriggerState.Blocked) return ParkedRunState.Parked;
        if (await EndOfAsync(parked, stop).ConfigureAwait(false) is { } end) return await DeleteEndedAsync(parked, end, stop).ConfigureAwait(false);
        if (StandIn.In(parked.JobDataMap) is { } standIn)
        {
            if (await IsPausedAsync(standIn, stop).ConfigureAwait(false)) return ParkedRunState.Paused;

            // The queries about the origin took time, so the stand-in is compared again.
            var change = await triggers.CompareWithStoredAsync(parked, stop).ConfigureAwait(false);
            if (change is TriggerChange.Paused or TriggerChange.Failed) return ParkedRunState.Paused;
            if (change != TriggerChange.None) throw new InvalidOperationException($"The trigger {key} was changed while its run was woken.");
        }

        if (HeldTrigger.HasMark(parked) || !StandIn.Is(parked.Key)) HeldTrigger.Wake(parked, DueTimeFor(parked, run.Waited));
        else parked.NextFireTimeUtc = DueTimeFor(parked, run.Waited);
        using var span = LockTraces.BeginStoring(QuartzJobCall.TraceIn(parked.JobDataMap));
        if (!await MoveBeforeDeadlineAsync(run, parked, stop).ConfigureAwait(false)) return ParkedRunState.Gone;

        return await MayStartHereAsync(parked, stop).ConfigureAwait(false) ? ParkedRunState.Starting : ParkedRunState.StartingAnywhere;
    }

    /// <summary>
    /// Whether the scheduler of this process can start the trigger as soon as a thread is free. Quartz leaves a trigger to its preferred node while that node
    /// is alive, and a trigger of an execution group to nodes that serve the group and are below its limit.
    /// </summary>
    private async ValueTask<bool> MayStartHereAsync(IOperableTrigger woken, CancellationToken stop)
    {
        if (Scheduler is not { } local) return true;
        if (woken.PreferredNode.Node is { } preferred && !string.Equals(preferred, local.SchedulerInstanceId, StringComparison.Ordinal)) return false;

        return woken.ExecutionGroup is null && await local.GetExecutionLimits(stop).ConfigureAwait(false) is null;
    }

    /// <summary>
    /// Writes the wake before the deadline of the wake. A late write must be avoided: after the deadline a sweep may have another node wake the run, and the
    /// run would execute twice.
    /// </summary>
    private async ValueTask<bool> MoveBeforeDeadlineAsync(WaitingRun run, IOperableTrigger parked, CancellationToken stop)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(stop);
        if (run.WakeBy < TimeSpan.MaxValue && run.WakeBy - BootClock.Now is var left)
        {
            if (left <= TimeSpan.Zero) throw new TimeoutException("The job store answered too late to wake the run here: another node may have woken it.");
            deadline.CancelAfter(left);
        }

        return await triggers.WriteNextTimeAsync(parked, deadline.Token).ConfigureAwait(false);
    }

    /// <summary>
    /// The time at which a woken run becomes due: as early as its own due time, because the scheduler fires the earliest first, but not so early that it
    /// would be a misfire. The clock of this node is not used, because another node may fire the trigger. A stand-in never misfires.
    /// </summary>
    private DateTimeOffset DueTimeFor(IOperableTrigger parked, TimeSpan waited)
    {
        if (StandIn.Is(parked.Key)) return HeldTrigger.TimeIn(parked.JobDataMap, DataKeys.DueAt) ?? clock.GetUtcNow();

        // After the wake, the store computes the next occurrence from this time. An early time makes missed occurrences due at once; that is wanted only if
        // the overlap policy keeps all of them. A quarter of the threshold is far from a misfire.
        var keepsAll = parked.OverlapPolicy is OverlapPolicy.Default or OverlapPolicy.AllowAll;
        var late = keepsAll ? waited - ((parked.MisfireThreshold ?? misfireThreshold) / 4) : waited;
        return (parked.PreviousFireTimeUtc ?? clock.GetUtcNow()) + (late > TimeSpan.Zero ? late : TimeSpan.Zero);
    }

    private async ValueTask<ParkedRunState> DeleteEndedAsync(IOperableTrigger parked, string reason, CancellationToken stop)
    {
        log.Over(parked.JobKey.ToString(), reason);
        await triggers.DeleteAsync(parked.Key, stop).ConfigureAwait(false);
        return ParkedRunState.Gone;
    }
}
