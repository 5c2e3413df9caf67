using JobLocks.Gate;
using JobLocks.Quartz.Waiting;
using Quartz;
using Quartz.Extensibility;

namespace JobLocks.Quartz.Entering;

/// <summary>A firing between the job store and its run: as the store knows it, and as the run is to see it.</summary>
/// <param name="Stored">The trigger that the store fired: the run's own, or a stand-in.</param>
/// <param name="Bundle">What the run sees.</param>
/// <param name="StandIn">What the stand-in carries; null where the run's own trigger fired.</param>
/// <param name="WasHeld">Whether it was put back before, and waited under the trigger's own key.</param>
internal sealed record FiredRun(IOperableTrigger Stored, TriggerFiredBundle Bundle, StandIn? StandIn, bool WasHeld)
{
    private bool _isLeftByOthers;

    /// <summary>Quartz's own id of this firing.</summary>
    public string Id => Stored.FireInstanceId!;

    /// <summary>Which attempt of its occurrence it is, as its retry policy counts. Quartz counts on in the trigger when the run ends.</summary>
    public int Attempt { get; } = Bundle.Trigger.RetryAttempt;

    /// <summary>When the run was due.</summary>
    public DateTimeOffset Due => Bundle.ScheduledFireTimeUtc ?? Bundle.FireTimeUtc;

    /// <summary>Whether the trigger that fired waits under its own key, where the run has to wait.</summary>
    public bool WaitsItself { get; } = WasHeld || StandIn is not null || HeldTrigger.CanWait(Stored, Bundle.JobDetail);

    /// <summary>Whether the trigger that fired has no further occurrence, and has had one before.</summary>
    public bool IsLastOfSeveral => StandIn is null && Bundle.NextFireTimeUtc is null && Bundle.PreviousFireTimeUtc is not null;

    /// <summary>Whether it waited by a trigger of ours: a stand-in, or the trigger of a node whose scheduler was built without JobLocks.</summary>
    public bool WaitedByOurs { get; } = Waiting.StandIn.Is(Stored.Key);

    /// <summary>Under which name the run waits.</summary>
    public string Name => field ??= WaitedByOurs ? Stored.Key.Name : WaitsItself ? HeldTrigger.NameOf(Stored.Key) : Waiting.StandIn.NewName(Stored.Key);

    /// <summary>
    /// Whether an earlier firing of the trigger has ended since this one, its last, was fired. A store in memory then takes the trigger for used up, and
    /// removes it. Written by the thread of the other firing.
    /// </summary>
    public bool IsLeftByOthers { get => Volatile.Read(ref _isLeftByOthers); set => Volatile.Write(ref _isLeftByOthers, value); }

    /// <summary>Whether the trigger in the store still has the mark under which this firing waited.</summary>
    public bool KeepsMark { get; set; } = WasHeld;

    /// <summary>Where the schedule goes on when the run has ended, though no time of it was to come when it was fired; null where it has ended.</summary>
    public DateTimeOffset? Owed { get; set; }

    /// <summary>A recovery, a retry, or either of them put back by us: what has begun is owed.</summary>
    public bool WasStartedBefore => Bundle.Recovering || Attempt > 0 || Stored.JobDataMap.ContainsKey(DataKeys.StartedBefore);

    /// <summary>What the store has fired. The trigger of the bundle is the caller's own copy.</summary>
    public static async ValueTask<FiredRun> OfAsync(TriggerFiredBundle fired, IJobStore store, CancellationToken stop)
    {
        var wasHeld = HeldTrigger.Is(fired.Trigger);
        var attempt = HeldTrigger.AttemptOf(fired.Trigger);
        if (Waiting.StandIn.Is(fired.Trigger.Key) && Waiting.StandIn.In(fired.Trigger.JobDataMap) is { } standIn)
            return new(fired.Trigger, await ShownAsync(fired, standIn, attempt, store, stop).ConfigureAwait(false), standIn, wasHeld);

        fired.Trigger.RetryAttempt = attempt;
        if (!wasHeld || fired.ScheduledFireTimeUtc is not { } due) return new(fired.Trigger, fired, StandIn: null, wasHeld);

        return new(fired.Trigger, fired with { PreviousFireTimeUtc = HeldTrigger.LastBefore(fired.Trigger, due) }, StandIn: null, wasHeld);
    }

    /// <summary>The job without the request to have its data written back: this firing has an old copy of them, and has not run.</summary>
    public static IJobDetail NotPersisting(IJobDetail job) =>
        job.PersistJobDataAfterExecution ? job.GetJobBuilder().PersistJobDataAfterExecution(persistJobDataAfterExecution: false).Build() : job;

    /// <summary>The call, or null where no rule asks for a lock.</summary>
    /// <exception cref="JobLockRuleException">A rule cannot work.</exception>
    public JobCall? Call(QuartzRuns runs)
    {
        var merged = new JobDataMap((IDictionary<string, object?>)Bundle.JobDetail.JobDataMap);
        foreach (var (key, value) in Bundle.Trigger.JobDataMap) merged[key] = value;
        return QuartzJobCall.Of(Bundle.JobDetail, Bundle.Trigger.JobDataMap, merged) is not { } call ? null : call with
        {
            JobId = QuartzJobCall.IdOf(Bundle.JobDetail.Key, Id),
            Store = () => runs.Id,
            WasStartedBefore = () => WasStartedBefore,
            MayWaitInQueue = WasHeld || WaitedByOurs,
            Address = _ => runs.Id is { } store ? new(store, Name, Queue: "") { Job = Bundle.JobDetail.Key.ToString(), IsNew = !WasHeld && !WaitedByOurs } : null,
        };
    }

    /// <summary>The run of a stand-in sees its own trigger, with the times and the data of its own firing.</summary>
    private static async ValueTask<TriggerFiredBundle> ShownAsync(TriggerFiredBundle fired, StandIn standIn, int attempt, IJobStore store, CancellationToken stop)
    {
        var stored = fired.Trigger;
        var (own, calendar) = await FindAsync(stored, standIn, store, stop).ConfigureAwait(false);
        own.Key = standIn.Origin;
        own.FireInstanceId = stored.FireInstanceId;
        own.JobDataMap = Waiting.StandIn.Without(stored.JobDataMap);
        own.RetryAttempt = attempt;
        own.PreviousFireTimeUtc = standIn.Due;
        own.NextFireTimeUtc = standIn.Next;
        return fired with
        {
            Trigger = own,
            Calendar = calendar,
            ScheduledFireTimeUtc = standIn.Due,
            PreviousFireTimeUtc = standIn.Previous,
            NextFireTimeUtc = standIn.Next,
        };
    }

    /// <summary>The run's own trigger may be gone by now, and a store that gives no answer must not cost the run.</summary>
    private static async ValueTask<(IOperableTrigger Own, ICalendar? Calendar)> FindAsync(IOperableTrigger stored, StandIn standIn, IJobStore store, CancellationToken stop)
    {
        try
        {
            if (await store.GetTrigger(standIn.Origin, stop).ConfigureAwait(false) is { } own)
                return (own, own.CalendarName is { } name ? await store.GetCalendar(name, stop).ConfigureAwait(false) : null);
        }
        catch (Exception)
        {
            // It is shown as its stand-in then.
        }

        return ((IOperableTrigger)stored.Clone(), null);
    }
}
