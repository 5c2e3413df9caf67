using JobLocks.Quartz.Waiting;
using Quartz;
using Quartz.Extensibility;
using Quartz.Impl;

namespace JobLocks.Quartz.Entering;

/// <summary>
/// Decorates the job store of a scheduler. Locks of a fired run are requested here, before any listener is called. <see cref="JobLockListener"/> normally
/// releases them, as middleware. At the latest they are released here, after the store has written the end of the run; always here if the job persists its
/// data. A trigger whose firing waits is shown as it would be without JobLocks.
/// </summary>
internal sealed class LockingJobStore(IJobStore store, Lazy<FiredRuns> fired, CancellationTokenSource closing) : DelegatingJobStore(store)
{
    // An unreachable store must not delay a shutdown for longer. After 4 s the running writes are cancelled. Each is tried once more, for one second.
    private static readonly TimeSpan LongestTry = TimeSpan.FromSeconds(4);
    private static readonly TimeSpan LongestDrain = TimeSpan.FromSeconds(5);

    public override async ValueTask<TriggerAcquisitionResult> AcquireNextTriggersAndFireDue(TriggerAcquisitionRequest request, CancellationToken cancellationToken = default)
    {
        var acquired = await base.AcquireNextTriggersAndFireDue(request, cancellationToken).ConfigureAwait(false);
        if (acquired.Fired.Count > 0) await fired.Value.DecideAsync(acquired.Fired).ConfigureAwait(false);
        return acquired;
    }

    public override async ValueTask<List<TriggerFiredResult>> TriggersFired(IReadOnlyCollection<IOperableTrigger> triggers, CancellationToken cancellationToken = default)
    {
        var results = await base.TriggersFired(triggers, cancellationToken).ConfigureAwait(false);
        await fired.Value.DecideAsync(results).ConfigureAwait(false);
        return results;
    }

    public override ValueTask FiringComplete(TriggeredJobCompleteContext context, CancellationToken cancellationToken = default) => fired.Value.EndAsync(context, cancellationToken);

    public override ValueTask TriggeredJobComplete(IOperableTrigger trigger, IJobDetail jobDetail, SchedulerInstruction triggerInstructionCode, CancellationToken cancellationToken = default) =>
        fired.Value.EndAsync(new() { Trigger = trigger, JobDetail = jobDetail, Instruction = triggerInstructionCode }, cancellationToken);

    public override async ValueTask Shutdown(CancellationToken cancellationToken = default)
    {
        closing.CancelAfter(LongestTry);
        // An unreachable store repeats its operations until its own shutdown is called.
        if (fired.IsValueCreated) await Task.WhenAny(fired.Value.DrainAsync(), Task.Delay(LongestDrain, CancellationToken.None)).ConfigureAwait(false);
        await base.Shutdown(cancellationToken).ConfigureAwait(false);
    }

    public override async ValueTask<IOperableTrigger?> GetTrigger(TriggerKey triggerKey, CancellationToken cancellationToken = default) =>
        await base.GetTrigger(triggerKey, cancellationToken).ConfigureAwait(false) is { } trigger ? HeldTrigger.RemoveMarkFrom(trigger) : null;

    public override async ValueTask<List<IOperableTrigger>> GetTriggers(IReadOnlyCollection<TriggerKey> triggerKeys, CancellationToken cancellationToken = default) =>
        (await base.GetTriggers(triggerKeys, cancellationToken).ConfigureAwait(false)).ConvertAll(HeldTrigger.RemoveMarkFrom);

    public override async ValueTask<List<IOperableTrigger>> GetTriggersForJob(JobKey jobKey, CancellationToken cancellationToken = default) =>
        (await base.GetTriggersForJob(jobKey, cancellationToken).ConfigureAwait(false)).Where(static trigger => !StandIn.Is(trigger.Key)).Select(HeldTrigger.RemoveMarkFrom).ToList();

    // Stand-ins are hidden, because they are not triggers of the application. A query for their group returns them.
    public override async ValueTask<PagedResult<TriggerHeader>> QueryTriggers(TriggerQuery query, CancellationToken cancellationToken = default)
    {
        var found = await base.QueryTriggers(query, cancellationToken).ConfigureAwait(false);
        return AsksForStandIns(query.Group) ? found : found with { Items = found.Items.Where(static header => !StandIn.Is(header.Key)).Select(AsApplicationSees).ToList() };
    }

    public override async ValueTask<PagedResult<TriggerGroup>> QueryTriggerGroups(TriggerGroupQuery query, CancellationToken cancellationToken = default)
    {
        var found = await base.QueryTriggerGroups(query, cancellationToken).ConfigureAwait(false);
        return found with { Items = found.Items.Where(static group => !string.Equals(group.Name, StandIn.Group, StringComparison.Ordinal)).ToList() };
    }

    public override async ValueTask<TriggerState> GetTriggerState(TriggerKey triggerKey, CancellationToken cancellationToken = default) =>
        StateOf(triggerKey, await base.GetTriggerState(triggerKey, cancellationToken).ConfigureAwait(false));

    public override async ValueTask<PagedResult<FireInstance>> QueryFireInstances(FireInstanceQuery query, CancellationToken cancellationToken = default)
    {
        var found = await base.QueryFireInstances(query, cancellationToken).ConfigureAwait(false);
        return fired.IsValueCreated ? found with { Items = found.Items.Select(fired.Value.AsApplicationSees).ToList() } : found;
    }

    // A firing that has not begun is deleted with its trigger, even if a stand-in waits for it.
    public override async ValueTask<bool> DeleteTrigger(TriggerKey triggerKey, CancellationToken cancellationToken = default)
    {
        var isDeleted = await base.DeleteTrigger(triggerKey, cancellationToken).ConfigureAwait(false);
        if (isDeleted) await DeleteStandInsAsync(triggerKey, cancellationToken).ConfigureAwait(false);
        return isDeleted;
    }

    public override async ValueTask<List<TriggerKey>> DeleteTriggers(IReadOnlyCollection<TriggerKey> triggerKeys, CancellationToken cancellationToken = default)
    {
        var deleted = await base.DeleteTriggers(triggerKeys, cancellationToken).ConfigureAwait(false);
        foreach (var key in deleted) await DeleteStandInsAsync(key, cancellationToken).ConfigureAwait(false);
        return deleted;
    }

    public override async ValueTask<List<TriggerKey>> DeleteTriggers(GroupMatcher<TriggerKey> matcher, CancellationToken cancellationToken = default)
    {
        var deleted = await base.DeleteTriggers(matcher, cancellationToken).ConfigureAwait(false);
        foreach (var key in deleted) await DeleteStandInsAsync(key, cancellationToken).ConfigureAwait(false);
        return deleted;
    }

    public override async ValueTask<bool> ReplaceTrigger(TriggerKey triggerKey, IOperableTrigger trigger, CancellationToken cancellationToken = default)
    {
        var isReplaced = await base.ReplaceTrigger(triggerKey, trigger, cancellationToken).ConfigureAwait(false);
        if (isReplaced) await DeleteStandInsAsync(triggerKey, cancellationToken).ConfigureAwait(false);
        return isReplaced;
    }

    // Resuming a trigger also resumes its stand-ins, which PauseAll has paused. Resuming a job or everything already includes the stand-ins.
    public override async ValueTask<bool> ResumeTrigger(TriggerKey triggerKey, CancellationToken cancellationToken = default)
    {
        var isResumed = await base.ResumeTrigger(triggerKey, cancellationToken).ConfigureAwait(false);
        await ResumeStandInsAsync(origin => origin.Equals(triggerKey), cancellationToken).ConfigureAwait(false);
        return isResumed;
    }

    public override async ValueTask<List<TriggerKey>> ResumeTriggers(IReadOnlyCollection<TriggerKey> triggerKeys, CancellationToken cancellationToken = default)
    {
        var resumed = await base.ResumeTriggers(triggerKeys, cancellationToken).ConfigureAwait(false);
        await ResumeStandInsAsync(triggerKeys.Contains, cancellationToken).ConfigureAwait(false);
        return resumed;
    }

    public override async ValueTask<List<string>> ResumeTriggerGroups(GroupMatcher<TriggerKey> matcher, CancellationToken cancellationToken = default)
    {
        var resumed = await base.ResumeTriggerGroups(matcher, cancellationToken).ConfigureAwait(false);
        await ResumeStandInsAsync(matcher.IsMatch, cancellationToken).ConfigureAwait(false);
        return resumed;
    }

    private static bool AsksForStandIns(GroupMatcher<TriggerKey>? group) => string.Equals(group?.CompareToValue, StandIn.Group, StringComparison.Ordinal);

    private TriggerHeader AsApplicationSees(TriggerHeader header) => StateOf(header.Key, header.State) is var state && state == header.State ? header : header with { State = state };

    /// <summary>The state as the application sees it: a trigger whose run was fired by a stand-in is executing.</summary>
    private TriggerState StateOf(TriggerKey key, TriggerState state) =>
        state == TriggerState.Normal && fired.IsValueCreated && fired.Value.IsRunByStandIn(key) ? TriggerState.Executing : state;

    private async ValueTask DeleteStandInsAsync(TriggerKey origin, CancellationToken stop)
    {
        if (StandIn.Is(origin)) return;

        var waiting = await InnerJobStore.QueryTriggers(
            new()
            {
                Group = GroupMatcher<TriggerKey>.GroupEquals(StandIn.Group),
                Name = NameMatcher<TriggerKey>.NameStartsWith(StandIn.PrefixOf(origin)),
                Take = PagedQuery.All,
            },
            stop).ConfigureAwait(false);
        if (waiting.Items.Count > 0) await InnerJobStore.DeleteTriggers([.. waiting.Items.Select(static header => header.Key)], stop).ConfigureAwait(false);
    }

    private async ValueTask ResumeStandInsAsync(Func<TriggerKey, bool> isResumed, CancellationToken stop)
    {
        var paused = await InnerJobStore.QueryTriggers(
            new() { Group = GroupMatcher<TriggerKey>.GroupEquals(StandIn.Group), State = TriggerState.Paused, Take = PagedQuery.All }, stop).ConfigureAwait(false);
        if (paused.Items.Count == 0) return;

        var standIns = await InnerJobStore.GetTriggers([.. paused.Items.Select(static header => header.Key)], stop).ConfigureAwait(false);
        var keys = standIns.Where(trigger => StandIn.In(trigger.JobDataMap) is { } standIn && isResumed(standIn.Origin)).Select(static trigger => trigger.Key).ToList();
        if (keys.Count > 0) await InnerJobStore.ResumeTriggers(keys, stop).ConfigureAwait(false);
    }
}
