using Quartz;
using Quartz.Extensibility;

namespace JobLocks.Quartz.Waiting;

/// <summary>Works on the job store directly, so no listener of the scheduler is called.</summary>
internal sealed class JobStoreTriggers(IJobStore store, ISchedulerSignaler? signaler = null) : IStoredTriggers
{
    // No stored job has this key, so the store neither unblocks a job nor stores the data of one.
    private static readonly IJobDetail NoJob = JobBuilder.Create<StoreMark>().WithIdentity("none", StandIn.Group).Build();

    public ValueTask<bool> IsPersistentAsync(CancellationToken stop) => new(store.SupportsPersistence);

    public ValueTask<IJobDetail?> FindJobAsync(JobKey key, CancellationToken stop) => store.GetJob(key, stop);

    public ValueTask AddJobAsync(IJobDetail job, CancellationToken stop) => store.AddJob(job, cancellationToken: stop);

    public ValueTask ReplaceJobAsync(IJobDetail job, CancellationToken stop) => store.AddJob(job, new() { Replace = true }, stop);

    public ValueTask SignalAsync(CancellationToken stop) => signaler?.SignalSchedulingChange(null, stop) ?? default;

    public ValueTask<TriggerState> StateOfAsync(TriggerKey key, CancellationToken stop) => store.GetTriggerState(key, stop);

    public ValueTask<PagedResult<TriggerHeader>> QueryAsync(TriggerQuery query, CancellationToken stop) => store.QueryTriggers(query, stop);

    public ValueTask<IOperableTrigger?> FindAsync(TriggerKey key, CancellationToken stop) => store.GetTrigger(key, stop);

    public async ValueTask<IReadOnlyList<IOperableTrigger>> FindAsync(IReadOnlyCollection<TriggerKey> keys, CancellationToken stop) =>
        await store.GetTriggers(keys, stop).ConfigureAwait(false);

    /// <summary>
    /// Calls FiringComplete with an unknown firing id, because the store has no method that writes only the next time. Its other effects find no firing and
    /// no job.
    /// </summary>
    public async ValueTask<bool> WriteNextTimeAsync(IOperableTrigger trigger, CancellationToken stop)
    {
        trigger.FireInstanceId = StandIn.Group;
        await store.FiringComplete(
            new() { Trigger = trigger, JobDetail = NoJob, Instruction = SchedulerInstruction.RetryTrigger, Outcome = ExecutionOutcome.NotExecuted }, stop).ConfigureAwait(false);
        await store.ResumeAloneAsync(trigger.Key, stop).ConfigureAwait(false);
        return true;
    }

    /// <summary>
    /// Calls FiringComplete with an unknown firing id, as <see cref="WriteNextTimeAsync"/> does. The store reads from the trigger only that its attempts are
    /// used up.
    /// </summary>
    public ValueTask ClearMarkAsync(TriggerKey key, CancellationToken stop)
    {
        var usedUp = (IOperableTrigger)TriggerBuilder.Create().WithIdentity(key).ForJob(NoJob).Build();
        // Without a next time, the store would remove the trigger.
        usedUp.NextFireTimeUtc = usedUp.StartTimeUtc;
        usedUp.FireInstanceId = StandIn.Group;
        HeldTrigger.ClearMarkAtEnd(usedUp);
        return store.FiringComplete(
            new() { Trigger = usedUp, JobDetail = NoJob, Instruction = SchedulerInstruction.NoInstruction, Outcome = ExecutionOutcome.NotExecuted }, stop);
    }

    public async ValueTask DeleteAsync(TriggerKey key, CancellationToken stop) => await store.DeleteTrigger(key, stop).ConfigureAwait(false);
}
