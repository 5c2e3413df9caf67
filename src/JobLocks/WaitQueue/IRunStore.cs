namespace JobLocks.WaitQueue;

/// <summary>
/// The job store of a scheduler, as the wait queue uses it. The core knows waiting runs only through this interface. Implementations are thread-safe.
/// </summary>
internal interface IRunStore
{
    /// <summary>The id of the store, as in <see cref="RunAddress.Store"/>; null until it is known.</summary>
    string? Id { get; }

    /// <summary>Reads <see cref="Id"/>, which the store itself keeps.</summary>
    /// <exception cref="Exception">The store cannot be asked.</exception>
    ValueTask<string> IdentifyAsync(CancellationToken stop);

    /// <summary>
    /// Whether a scheduler of this process can start runs of the store: it is running, and neither in standby nor shutting down. Called by each sweep.
    /// </summary>
    /// <exception cref="Exception">The store cannot be asked.</exception>
    ValueTask<bool> CanStartRunsAsync(CancellationToken stop);

    /// <summary>
    /// The workers of the schedulers of this process that are free now. A process without a free worker for a queue leaves the wake-ups of that
    /// queue to other processes, or waits until a worker is free.
    /// </summary>
    IReadOnlyList<WorkerPool> FreeWorkers { get; }

    /// <summary>How many more runs may wait in workers of this process for their locks.</summary>
    /// <param name="share">The largest share of the workers of a scheduler in which runs may wait.</param>
    int RoomToWait(double share) => 0;

    /// <summary>The callback for the moment when a worker of this process becomes free. It must not block.</summary>
    Action WorkerFreed { set; }

    /// <summary>
    /// Makes the schedulers of this process query the store, because another process has woken a run that they may have to start. Does not block.
    /// </summary>
    void RequeryStore()
    {
    }

    /// <summary>Reads <see cref="Id"/> again, and the other ids of the store.</summary>
    /// <exception cref="Exception">The store cannot be asked.</exception>
    ValueTask<OtherStoreIds> FindOtherIdsAsync(CancellationToken stop) => new(OtherStoreIds.None);

    /// <summary>
    /// Starts parked runs as soon as a worker is free. No run is started twice: a run that is not parked any more stays as it is, and a run that
    /// is <see cref="WaitingRun.IsTooLate"/> when its wake-up is about to be written is left to a sweep.
    /// </summary>
    /// <returns>The state of each run, in the same order.</returns>
    /// <exception cref="Exception">The store cannot be asked, or did not answer in time. Some of the runs may have been woken.</exception>
    ValueTask<IReadOnlyList<ParkedRunState>> WakeAsync(IReadOnlyList<WaitingRun> runs, CancellationToken stop);

    /// <summary>Reads the state of runs, and changes nothing.</summary>
    /// <returns>The state of each run, in the same order.</returns>
    /// <exception cref="Exception">The store cannot be asked.</exception>
    ValueTask<IReadOnlyList<ParkedRunState>> GetStatesAsync(IReadOnlyList<WaitingRun> runs, CancellationToken stop);

    /// <summary>
    /// Finds runs that are parked for a lock, page by page. Runs that the store starts soon by itself are not included. Called by one thread at a time.
    /// </summary>
    /// <param name="from"><see cref="ParkedRuns.Next"/> of the previous page; null for the first page.</param>
    /// <param name="stop">Cancels the search.</param>
    /// <exception cref="Exception">The store cannot be asked.</exception>
    ValueTask<ParkedRuns> FindParkedAsync(string? from, CancellationToken stop);
}
