using JobLocks.Gate;
using JobLocks.Quartz.Waiting;
using Quartz;
using Quartz.Extensibility;

namespace JobLocks.Quartz.Entering;

/// <summary>
/// A firing that the store has started and whose run has not ended. <paramref name="Stored"/> is the trigger in the store, <paramref name="Bundle"/> is what
/// the run sees.
/// </summary>
/// <param name="Stored">The trigger that the store fired: the original trigger, or a stand-in.</param>
/// <param name="Bundle">The bundle that the run sees.</param>
/// <param name="StandIn">The data of the stand-in; null if the original trigger fired.</param>
/// <param name="WasHeld">Whether the firing was put back before, and waited under the trigger's own key.</param>
internal sealed record FiredRun(IOperableTrigger Stored, TriggerFiredBundle Bundle, StandIn? StandIn, bool WasHeld)
{
    private bool _hasOtherFiringEnded;

    /// <summary>Quartz's id of this firing.</summary>
    public string Id => Stored.FireInstanceId!;

    /// <summary>
    /// The attempt number of this firing, as its retry policy counts. Read once, because Quartz increments the number in the trigger when the run ends.
    /// </summary>
    public int Attempt { get; } = Bundle.Trigger.RetryAttempt;

    /// <summary>When the run was due.</summary>
    public DateTimeOffset Due => Bundle.ScheduledFireTimeUtc ?? Bundle.FireTimeUtc;

    /// <summary>Whether the fired trigger itself can be held, under its own key, if the run has to wait.</summary>
    public bool CanBeHeldUnderOwnKey { get; } = WasHeld || StandIn is not null || HeldTrigger.CanBeHeld(Stored, Bundle.JobDetail);

    /// <summary>Whether the fired trigger has no further occurrence, but has had an earlier one.</summary>
    public bool IsLastOfSeveral => StandIn is null && Bundle.NextFireTimeUtc is null && Bundle.PreviousFireTimeUtc is not null;

    /// <summary>Whether a trigger that JobLocks added has fired: a stand-in, or the trigger of a node whose scheduler was built without JobLocks.</summary>
    public bool WasAddedByJobLocks { get; } = Waiting.StandIn.Is(Stored.Key);

    /// <summary>The name of the run in the wait queue.</summary>
    public string Name => field ??= WasAddedByJobLocks ? Stored.Key.Name : CanBeHeldUnderOwnKey ? HeldTrigger.NameOf(Stored.Key) : Waiting.StandIn.NewName(Stored.Key);

    /// <summary>
    /// Whether another firing of the same trigger has ended after this firing, which is the last of the schedule. A store in memory then considers the
    /// trigger complete, and removes it. Set on the thread of the other firing.
    /// </summary>
    public bool HasOtherFiringEnded { get => Volatile.Read(ref _hasOtherFiringEnded); set => Volatile.Write(ref _hasOtherFiringEnded, value); }

    /// <summary>
    /// Whether the stored trigger still has the mark with which this firing waited. Written before the run starts or at its end, never at the same time.
    /// </summary>
    public bool KeepsMark { get; set; } = WasHeld;

    /// <summary>
    /// The occurrence with which the schedule continues when the run has ended, although the trigger had no next time when it fired; null if there is none.
    /// Written before the run starts.
    /// </summary>
    public DateTimeOffset? ResumesAt { get; set; }

    /// <summary>Whether the run was started before: a recovery, a retry, or one of these that was put back. Such a run must not be dropped.</summary>
    public bool WasStartedBefore => Bundle.Recovering || Attempt > 0 || Stored.JobDataMap.ContainsKey(DataKeys.StartedBefore);

    /// <summary>
    /// Whether the run may wait in a thread for its lock. It must be recovered if its node dies meanwhile, because it is not in the store then as a waiting
    /// run; its schedule and its data must not depend on when it is admitted; and it must keep its name in the store, which a sweep asks about it.
    /// </summary>
    public bool CanWaitInThread =>
        Bundle.JobDetail is { RequestsRecovery: true, PersistJobDataAfterExecution: false, ConcurrentExecutionDisallowed: false }
        && Attempt == 0
        && CanBeHeldUnderOwnKey
        && !(Stored is { OverlapPolicy: OverlapPolicy.CancelPrevious, NextFireTimeUtc: not null })
        && (!WasHeld || StandIn is not null || (Stored.NextFireTimeUtc is null && Stored.GetFireTimeAfter(Due) is null));

    /// <summary>Reads what the store has fired. Changes the trigger of the bundle, which is the caller's own copy.</summary>
    public static async ValueTask<FiredRun> OfAsync(TriggerFiredBundle fired, IJobStore store, CancellationToken stop)
    {
        var wasHeld = HeldTrigger.HasMark(fired.Trigger);
        var attempt = HeldTrigger.AttemptOf(fired.Trigger);
        if (Waiting.StandIn.Is(fired.Trigger.Key) && Waiting.StandIn.In(fired.Trigger.JobDataMap) is { } standIn)
            return new(fired.Trigger, await BundleOfOriginAsync(fired, standIn, attempt, store, stop).ConfigureAwait(false), standIn, wasHeld);

        fired.Trigger.RetryAttempt = attempt;
        if (!wasHeld || fired.ScheduledFireTimeUtc is not { } due) return new(fired.Trigger, fired, StandIn: null, wasHeld);

        return new(fired.Trigger, fired with { PreviousFireTimeUtc = HeldTrigger.LastBefore(fired.Trigger, due) }, StandIn: null, wasHeld);
    }

    /// <summary>The job without the request to store its data: this firing has an old copy of the data, and did not execute.</summary>
    public static IJobDetail NotPersisting(IJobDetail job) =>
        job.PersistJobDataAfterExecution ? job.GetJobBuilder().PersistJobDataAfterExecution(persistJobDataAfterExecution: false).Build() : job;

    /// <summary>The call; null if no rule requests a lock.</summary>
    /// <exception cref="JobLockRuleException">A rule does not fit the run.</exception>
    public JobCall? Call(QuartzRuns runs)
    {
        var merged = new JobDataMap((IDictionary<string, object?>)Bundle.JobDetail.JobDataMap);
        foreach (var (key, value) in Bundle.Trigger.JobDataMap) merged[key] = value;
        return QuartzJobCall.Of(Bundle.JobDetail, Bundle.Trigger.JobDataMap, merged) is not { } call ? null : call with
        {
            JobId = QuartzJobCall.IdOf(Bundle.JobDetail.Key, Id),
            Store = () => runs.Id,
            WasStartedBefore = () => WasStartedBefore,
            MayHaveQueueEntry = WasHeld || WasAddedByJobLocks,
            Address = _ => runs.Id is { } store ? new(store, Name, Queue: "") { Job = Bundle.JobDetail.Key.ToString(), IsNewRun = !WasHeld && !WasAddedByJobLocks } : null,
        };
    }

    /// <summary>The bundle for the run of a stand-in: it shows the original trigger, with the times and the data of this firing.</summary>
    private static async ValueTask<TriggerFiredBundle> BundleOfOriginAsync(TriggerFiredBundle fired, StandIn standIn, int attempt, IJobStore store, CancellationToken stop)
    {
        var stored = fired.Trigger;
        var (origin, calendar) = await FindOriginAsync(stored, standIn, store, stop).ConfigureAwait(false);
        origin.Key = standIn.Origin;
        origin.FireInstanceId = stored.FireInstanceId;
        origin.JobDataMap = Waiting.StandIn.WithoutOwnEntries(stored.JobDataMap);
        origin.RetryAttempt = attempt;
        origin.PreviousFireTimeUtc = standIn.Due;
        origin.NextFireTimeUtc = standIn.Next;
        return fired with
        {
            Trigger = origin,
            Calendar = calendar,
            ScheduledFireTimeUtc = standIn.Due,
            PreviousFireTimeUtc = standIn.Previous,
            NextFireTimeUtc = standIn.Next,
        };
    }

    /// <summary>Finds the original trigger and its calendar. If the trigger is deleted or the store cannot be asked, the run sees the stand-in.</summary>
    private static async ValueTask<(IOperableTrigger Origin, ICalendar? Calendar)> FindOriginAsync(IOperableTrigger stored, StandIn standIn, IJobStore store, CancellationToken stop)
    {
        try
        {
            if (await store.GetTrigger(standIn.Origin, stop).ConfigureAwait(false) is { } origin)
                return (origin, origin.CalendarName is { } name ? await store.GetCalendar(name, stop).ConfigureAwait(false) : null);
        }
        catch (Exception)
        {
            // The run must not be lost because of this, so it sees the stand-in.
        }

        return ((IOperableTrigger)stored.Clone(), null);
    }
}
