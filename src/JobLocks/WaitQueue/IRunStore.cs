namespace JobLocks.WaitQueue;

/// <summary>The store of a scheduler, as the line needs it. All that the core knows of runs that wait. Thread-safe.</summary>
internal interface IRunStore
{
    /// <summary>As in <see cref="RunAddress.Store"/>; null until it is known.</summary>
    string? Id { get; }

    /// <summary>Finds out <see cref="Id"/>, which is kept in the store itself.</summary>
    /// <exception cref="Exception">The store cannot be asked.</exception>
    ValueTask<string> IdentifyAsync(CancellationToken stop);

    /// <summary>
    /// Whether a scheduler of this process can start runs of the store: it works, and is neither in standby nor shutting down. Asked with each sweep.
    /// </summary>
    /// <exception cref="Exception">The store cannot be asked.</exception>
    ValueTask<bool> CanStartRunsAsync(CancellationToken stop);

    /// <summary>
    /// The workers of the schedulers of this process that are free right now. A process that has none left for a queue leaves its wakes to others, or
    /// waits until it has one.
    /// </summary>
    IReadOnlyList<WorkerPool> FreeWorkers { get; }

    /// <summary>Called when a worker of this process has become free. Must not wait for anything.</summary>
    Action WorkerFreed { set; }

    /// <summary>Another process has woken a run that a scheduler here may have to start: it looks into the store. Waits for nothing.</summary>
    void LookAgain()
    {
    }

    /// <summary>Reads <see cref="Id"/> anew, and what else the store is called or was.</summary>
    /// <exception cref="Exception">The store cannot be asked.</exception>
    ValueTask<EarlierNames> FindNamesAsync(CancellationToken stop) => new(EarlierNames.None);

    /// <summary>
    /// Has parked runs begin as soon as a worker is free. None is started twice: one that is not parked any more is left alone, and one for which it is
    /// <see cref="WaitingRun.IsTooLate"/>, when it is about to be written down, is left to a sweep.
    /// </summary>
    /// <returns>What became of each, in the same order.</returns>
    /// <exception cref="Exception">The store cannot be asked, or took too long to answer. Some of them may have been woken.</exception>
    ValueTask<IReadOnlyList<RunFate>> WakeAsync(IReadOnlyList<WaitingRun> runs, CancellationToken stop);

    /// <summary>Asks for the fate of runs, and changes nothing.</summary>
    /// <returns>That of each, in the same order.</returns>
    /// <exception cref="Exception">The store cannot be asked.</exception>
    ValueTask<IReadOnlyList<RunFate>> LookAsync(IReadOnlyList<WaitingRun> runs, CancellationToken stop);

    /// <summary>Finds runs that are parked for a lock, page by page. Those that come again by themselves soon are not among them.</summary>
    /// <param name="from">Where the page before this one ended; null for the first.</param>
    /// <param name="stop">Gives up.</param>
    /// <exception cref="Exception">The store cannot be asked.</exception>
    ValueTask<ParkedRuns> FindParkedAsync(string? from, CancellationToken stop);
}
