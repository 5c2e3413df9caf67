using JobLocks.Locks;

namespace JobLocks.Postgres.Locks;

/// <summary>
/// The output of a change of the local lock table: what the dispatcher has to do next. Not thread-safe, except for <see cref="AwaitedOperations"/>: used
/// under the mutex of the <see cref="LockDispatcher"/>.
/// </summary>
internal sealed class LockTableOutput
{
    private int _awaitedOperations;
    private List<AcquireRequest> _done = [];
    private List<LockOperation> _missing = [];
    private List<LockRequest> _grantedSlots = [];
    private List<LockOperation> _readerReleases = [];

    /// <summary>Operations for the session, in order.</summary>
    public List<LockOperation> Operations { get; private set; } = [];

    /// <summary>Whether a request waits for a lock of another process, so that notifications of releases must be received.</summary>
    public bool NeedsListener { get; set; }

    /// <summary>Notes the release of a lock that the session did not hold.</summary>
    public void AddMissing(LockOperation release) => _missing.Add(release);

    /// <summary>Removes and returns the releases of locks that the session did not hold.</summary>
    public List<LockOperation> TakeMissing() => TakeAll(ref _missing);

    /// <summary>Notes a slot that was granted: its limit is compared with the limit that other processes declare.</summary>
    public void AddGrantedSlot(LockRequest request) => _grantedSlots.Add(request);

    /// <summary>Removes and returns the slots that were granted.</summary>
    public List<LockRequest> TakeGrantedSlots() => TakeAll(ref _grantedSlots);

    /// <summary>Notes a release by a reader while other readers of this process still share the lock. Its row of the read model is deleted.</summary>
    public void AddReaderRelease(LockOperation release) => _readerReleases.Add(release);

    /// <summary>Removes and returns the releases by such readers.</summary>
    public List<LockOperation> TakeReaderReleases() => TakeAll(ref _readerReleases);

    /// <summary>
    /// The approximate number of operations whose answer a request waits for, since the last reset. It is also read without the mutex.
    /// </summary>
    public int AwaitedOperations => Volatile.Read(ref _awaitedOperations);

    /// <summary>Returns <see cref="AwaitedOperations"/>, and starts to count from zero.</summary>
    public int ResetAwaitedOperations() => Interlocked.Exchange(ref _awaitedOperations, 0);

    /// <summary>Notes an operation whose answer a request waits for.</summary>
    public void AddAwaited(LockOperation operation)
    {
        _awaitedOperations++;
        Operations.Add(operation);
    }

    /// <summary>Removes and returns the noted operations, in order and up to a maximum.</summary>
    public List<LockOperation> TakeOperations(int atMost)
    {
        var operations = Operations;
        Operations = operations.Count <= atMost ? [] : operations.GetRange(atMost, operations.Count - atMost);
        if (operations.Count > atMost) operations.RemoveRange(atMost, operations.Count - atMost);
        return operations;
    }

    /// <summary>Notes an answered request. It must be completed outside of the mutex.</summary>
    public void AddDone(AcquireRequest request) => _done.Add(request);

    /// <summary>Removes and returns the answered requests.</summary>
    public List<AcquireRequest> TakeDone() => TakeAll(ref _done);

    private static List<T> TakeAll<T>(ref List<T> full)
    {
        if (full.Count == 0) return [];

        var taken = full;
        full = [];
        return taken;
    }
}
