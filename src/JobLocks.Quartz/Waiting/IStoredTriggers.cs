using Quartz;
using Quartz.Extensibility;

namespace JobLocks.Quartz.Waiting;

/// <summary>The job store, as far as runs that wait need it. Thread-safe.</summary>
internal interface IStoredTriggers
{
    /// <summary>Whether the store outlives this process.</summary>
    ValueTask<bool> IsPersistentAsync(CancellationToken stop);

    ValueTask<IJobDetail?> FindJobAsync(JobKey key, CancellationToken stop);

    /// <exception cref="ObjectAlreadyExistsException">There is one with this key.</exception>
    ValueTask AddJobAsync(IJobDetail job, CancellationToken stop);

    ValueTask ReplaceJobAsync(IJobDetail job, CancellationToken stop);

    /// <summary>Has the scheduler of this process look into the store now.</summary>
    ValueTask SignalAsync(CancellationToken stop);

    ValueTask<TriggerState> StateOfAsync(TriggerKey key, CancellationToken stop);

    /// <summary>Triggers of the store, ours among them.</summary>
    ValueTask<PagedResult<TriggerHeader>> QueryAsync(TriggerQuery query, CancellationToken stop);

    /// <summary>The trigger as it is stored, our mark included; null where there is none.</summary>
    ValueTask<IOperableTrigger?> FindAsync(TriggerKey key, CancellationToken stop);

    /// <summary>Reads several triggers in one question. A trigger that the store cannot read may be missing from the result.</summary>
    ValueTask<IReadOnlyList<IOperableTrigger>> FindAsync(IReadOnlyCollection<TriggerKey> keys, CancellationToken stop);

    /// <summary>
    /// Writes the next time and the attempt number of a trigger that is not firing, and has the scheduler look again. The write undoes a pause and a
    /// block: look at <see cref="TriggerChanges"/> just before.
    /// </summary>
    /// <returns>False where there is no such trigger any more, if the store says so.</returns>
    ValueTask<bool> MoveAsync(IOperableTrigger trigger, CancellationToken stop);

    /// <summary>Writes that the trigger of a run that has begun is not held any more. Its time and its state stay.</summary>
    ValueTask ForgetMarkAsync(TriggerKey key, CancellationToken stop);

    ValueTask DeleteAsync(TriggerKey key, CancellationToken stop);
}
