using Quartz;
using Quartz.Extensibility;

namespace JobLocks.Quartz.Waiting;

/// <summary>Asks the job store itself: no listener of the scheduler hears of it.</summary>
internal sealed class JobStoreTriggers(IJobStore store, ISchedulerSignaler? signaler = null) : IStoredTriggers
{
    // A key that no job has. The store then neither unblocks a job nor writes the data of one.
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

    /// <summary>A retry of a firing that is not there: of all that the end of a firing writes, only the new time is left.</summary>
    public async ValueTask<bool> MoveAsync(IOperableTrigger trigger, CancellationToken stop)
    {
        trigger.FireInstanceId = StandIn.Group;
        await store.FiringComplete(
            new() { Trigger = trigger, JobDetail = NoJob, Instruction = SchedulerInstruction.RetryTrigger, Outcome = ExecutionOutcome.NotExecuted }, stop).ConfigureAwait(false);
        await store.ResumeAloneAsync(trigger.Key, stop).ConfigureAwait(false);
        return true;
    }

    /// <summary>The end of a firing that is not there, by a trigger of which the store only reads that its attempts have been used up.</summary>
    public ValueTask ForgetMarkAsync(TriggerKey key, CancellationToken stop)
    {
        var spent = (IOperableTrigger)TriggerBuilder.Create().WithIdentity(key).ForJob(NoJob).Build();
        // Without a next time, the store would remove the trigger.
        spent.NextFireTimeUtc = spent.StartTimeUtc;
        spent.FireInstanceId = StandIn.Group;
        HeldTrigger.ForgetAtEnd(spent);
        return store.FiringComplete(
            new() { Trigger = spent, JobDetail = NoJob, Instruction = SchedulerInstruction.NoInstruction, Outcome = ExecutionOutcome.NotExecuted }, stop);
    }

    public async ValueTask DeleteAsync(TriggerKey key, CancellationToken stop) => await store.DeleteTrigger(key, stop).ConfigureAwait(false);
}
