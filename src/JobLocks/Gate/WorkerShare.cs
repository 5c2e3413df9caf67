namespace JobLocks.Gate;

/// <summary>
/// Limits how many workers of one scheduler are occupied by runs that wait in them, so that other jobs find workers. Thread-safe.
/// </summary>
internal sealed class WorkerShare
{
    private readonly Lock _sync = new();
    private int _waiting;

    /// <summary>Whether one more run may wait in its worker.</summary>
    /// <param name="share">The largest share of the workers in which runs may wait.</param>
    /// <param name="workers">How many workers the scheduler has.</param>
    /// <param name="performing">How many of them perform a job.</param>
    public bool HasRoom(double share, int workers, int performing)
    {
        lock (_sync) return HasRoomUnsynchronized(share, workers, performing);
    }

    /// <summary>Occupies a worker, until the result is disposed; null where <see cref="HasRoom"/> is false.</summary>
    /// <inheritdoc cref="HasRoom"/>
    public IDisposable? TryOccupy(double share, int workers, int performing)
    {
        lock (_sync)
        {
            if (!HasRoomUnsynchronized(share, workers, performing)) return null;

            _waiting++;
            return new Occupied(this);
        }
    }

    // At least one worker must be left that neither performs a job nor waits.
    private bool HasRoomUnsynchronized(double share, int workers, int performing) => _waiting < (int)(share * workers) && workers - performing - _waiting > 1;

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
