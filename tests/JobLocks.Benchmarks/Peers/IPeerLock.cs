namespace JobLocks.Benchmarks.Peers;

/// <summary>One lock of a peer. Disposing what is returned releases it.</summary>
internal interface IPeerLock
{
    /// <returns>Null when someone else has it.</returns>
    Task<IAsyncDisposable?> TryTakeAsync(CancellationToken stop);

    Task<IAsyncDisposable> TakeAsync(TimeSpan timeout, CancellationToken stop);
}
