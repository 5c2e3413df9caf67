namespace JobLocks.Gate;

/// <summary>
/// Limits how many workers of one scheduler are occupied by runs that wait in them, so that other jobs find workers. Thread-safe.
/// </summary>
internal sealed class WorkerShare
{
    private readonly Lock _sync = new();
    private int _waiting;

    /// <summary>How many more runs may wait in their workers.</summary>
    /// <param name="share">The largest share of the workers in which runs may wait.</param>
    /// <param name="workers">How many workers the scheduler has.</param>
    /// <param name="performing">How many of them perform a job.</param>
    public int Room(double share, int workers, int performing)
    {
        lock (_sync) return RoomUnsynchronized(share, workers, performing);
    }

    /// <summary>Occupies a worker, until the result is disposed; null where there is no <see cref="Room"/>.</summary>
    /// <inheritdoc cref="Room"/>
    public IDisposable? TryOccupy(double share, int workers, int performing)
    {
        lock (_sync)
        {
            if (RoomUnsynchronized(share, workers, performing) == 0) return null;

            _waiting++;
            return new Occupied(this);
        }
    }

    // At least one worker must be left that neither performs a job nor waits.
    private int RoomUnsynchronized(double share, int workers, int performing) => Math.Max(0, Math.Min((int)(share * workers), workers - performing - 1) - _waiting);

    private void Free()
    {
        lock (_sync) _waiting--;
    }

    private sealed class Occupied(WorkerShare share) : IDisposable
    {
        private bool _isFree;

        public void Dispose()
        {
            if (!Interlocked.Exchange(ref _isFree, true)) share.Free();
        }
    }
}
