using Quartz;
using Quartz.Extensibility;

namespace JobLocks.Quartz.Waiting;

/// <summary>Works through a scheduler that was built without JobLocks. A trigger is moved by replacing it, and the scheduler's listeners are called.</summary>
internal sealed class SchedulerTriggers(IScheduler scheduler) : IStoredTriggers
{
    public async ValueTask<bool> IsPersistentAsync(CancellationToken stop) => (await scheduler.GetMetadata(stop).ConfigureAwait(false)).JobStorePersistent;

    public ValueTask<IJobDetail?> FindJobAsync(JobKey key, CancellationToken stop) => scheduler.GetJobDetail(key, stop);

    public ValueTask AddJobAsync(IJobDetail job, CancellationToken stop) => scheduler.AddJob(job, cancellationToken: stop);

    public async ValueTask ReplaceJobAsync(IJobDetail job, CancellationToken stop) =>
        await scheduler.AddJob(job, new() { Replace = true }, stop).ConfigureAwait(false);

    /// <summary>Resumes a group without triggers. All other methods of a scheduler that have the same effect would change a trigger.</summary>
    public async ValueTask SignalAsync(CancellationToken stop) =>
        await scheduler.ResumeTriggerGroups(GroupMatcher<TriggerKey>.GroupEquals($"{StandIn.Group} none"), stop).ConfigureAwait(false);

    public ValueTask<TriggerState> StateOfAsync(TriggerKey key, CancellationToken stop) => scheduler.GetTriggerState(key, stop);

    public ValueTask<PagedResult<TriggerHeader>> QueryAsync(TriggerQuery query, CancellationToken stop) => scheduler.QueryTriggers(query, stop);

    public async ValueTask<IOperableTrigger?> FindAsync(TriggerKey key, CancellationToken stop) =>
        await scheduler.GetTrigger(key, stop).ConfigureAwait(false) as IOperableTrigger;

    public async ValueTask<IReadOnlyList<IOperableTrigger>> FindAsync(IReadOnlyCollection<TriggerKey> keys, CancellationToken stop) =>
        [.. (await scheduler.GetTriggers(keys, stop).ConfigureAwait(false)).OfType<IOperableTrigger>()];

    public async ValueTask<bool> WriteNextTimeAsync(IOperableTrigger trigger, CancellationToken stop)
    {
        // A node whose scheduler was built with JobLocks holds this trigger. Quartz keeps a next time that is set, so the schedule continues from there.
        if (!StandIn.Is(trigger.Key)) return await scheduler.RescheduleJob(trigger.Key, trigger, stop).ConfigureAwait(false) is not null;

        var moved = trigger.GetTriggerBuilder()
            .StartAt(trigger.NextFireTimeUtc!.Value)
            .WithSimpleSchedule(static schedule => schedule.WithMisfireInstruction(SimpleTriggerMisfireInstruction.IgnoreMisfires))
            .Build();
        if (moved is IMutableTrigger mutable) mutable.RetryAttempt = trigger.RetryAttempt;
        return await scheduler.RescheduleJob(trigger.Key, moved, stop).ConfigureAwait(false) is not null;
    }

    /// <summary>Nothing to clear: without the decorator of the job store only stand-ins wait, and they have no mark.</summary>
    public ValueTask ClearMarkAsync(TriggerKey key, CancellationToken stop) => default;

    public async ValueTask DeleteAsync(TriggerKey key, CancellationToken stop) => await scheduler.UnscheduleJob(key, stop).ConfigureAwait(false);
}
