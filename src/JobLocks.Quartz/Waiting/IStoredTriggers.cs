using Quartz;
using Quartz.Extensibility;

namespace JobLocks.Quartz.Waiting;

/// <summary>The operations of a job store that waiting runs need. Thread-safe.</summary>
internal interface IStoredTriggers
{
    /// <summary>Whether the store outlives this process.</summary>
    ValueTask<bool> IsPersistentAsync(CancellationToken stop);

    ValueTask<IJobDetail?> FindJobAsync(JobKey key, CancellationToken stop);

    /// <exception cref="ObjectAlreadyExistsException">The store already has a job with this key.</exception>
    ValueTask AddJobAsync(IJobDetail job, CancellationToken stop);

    ValueTask ReplaceJobAsync(IJobDetail job, CancellationToken stop);

    /// <summary>Makes the scheduler of this process query the store now.</summary>
    ValueTask SignalAsync(CancellationToken stop);

    ValueTask<TriggerState> StateOfAsync(TriggerKey key, CancellationToken stop);

    /// <summary>Reads triggers of the store, including those that JobLocks has added.</summary>
    ValueTask<PagedResult<TriggerHeader>> QueryAsync(TriggerQuery query, CancellationToken stop);

    /// <summary>The trigger as it is stored, with its mark; null if it does not exist.</summary>
    ValueTask<IOperableTrigger?> FindAsync(TriggerKey key, CancellationToken stop);

    /// <summary>Reads several triggers with one query. A trigger that the store cannot read may be missing from the result.</summary>
    ValueTask<IReadOnlyList<IOperableTrigger>> FindAsync(IReadOnlyCollection<TriggerKey> keys, CancellationToken stop);

    /// <summary>
    /// Writes the next time and the attempt number of a trigger that is not firing, and makes the scheduler query the store. The write also resumes a paused
    /// or blocked trigger: call <see cref="TriggerChanges.CompareWithStoredAsync"/> directly before.
    /// </summary>
    /// <returns>False if the trigger does not exist any more and the store reports that.</returns>
    ValueTask<bool> WriteNextTimeAsync(IOperableTrigger trigger, CancellationToken stop);

    /// <summary>Clears the mark of the trigger of a run that has begun. Its time and its state stay.</summary>
    ValueTask ClearMarkAsync(TriggerKey key, CancellationToken stop);

    ValueTask DeleteAsync(TriggerKey key, CancellationToken stop);
}
