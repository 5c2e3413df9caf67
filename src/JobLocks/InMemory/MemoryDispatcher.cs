using System.Diagnostics;
using System.Diagnostics.Metrics;
using JobLocks.Diagnostics;
using JobLocks.InMemory.Locks;
using JobLocks.InMemory.Reading;
using JobLocks.InMemory.WaitQueue;
using JobLocks.Locks;
using JobLocks.Primitives;
using JobLocks.WaitQueue;
using Microsoft.Extensions.Logging;

namespace JobLocks.InMemory;

/// <summary>
/// Guards the lock table, the wait queue and the job stores by one mutex. The effects of a change are carried out after the mutex was released: callers get
/// their answers, and wakes are passed to the job stores. Thread-safe.
/// </summary>
internal sealed class MemoryDispatcher : ILockOwner
{
    private readonly Lock _sync = new();
    private readonly TimeProvider _clock;
    private readonly ILogger _log;
    private readonly MemoryGranting _granting;
    private readonly List<MemoryReleaseWait> _releaseWaits = [];
    private bool _isClosed;

    public MemoryDispatcher(JobLocksOptions options, TimeProvider clock, ILogger log, IMeterFactory? meters)
    {
        _clock = clock;
        _log = log;
        Locks = new(this, clock);
        Queue = new(Stores, options, clock);
        Samples = new(options.SampleInterval);
        _granting = new(Locks, Queue, new(Queue, Locks));
        Meter = new(meters, () => CountHeld, () => !IsClosed, options.NamesInTelemetry);
        Meter.Begin();
    }

    /// <summary>The held keys. Use it only inside of <see cref="Read"/> and <see cref="Change"/>.</summary>
    public MemoryLockTable Locks { get; }

    /// <summary>The wait queue. Use it only inside of <see cref="Read"/> and <see cref="Change"/>.</summary>
    public MemoryQueueTable Queue { get; }

    /// <summary>The job stores. Use them only inside of <see cref="Read"/> and <see cref="Change"/>.</summary>
    public MemoryRunStores Stores { get; } = new();

    /// <summary>The counts and durations of each lock name.</summary>
    public MemoryStatistics Statistics { get; } = new();

    /// <summary>The samples of all locks.</summary>
    public MemorySamples Samples { get; }

    /// <summary>For how long locks are usually held.</summary>
    public UsualHolds UsualHolds { get; } = new();

    /// <summary>The runs that wait in their workers.</summary>
    public RunsInWorkers InWorkers { get; } = new(static _ => { });

    /// <summary>The metrics.</summary>
    public LockMeter Meter { get; }

    /// <summary>Called with woken runs whose job stores must start them. Must not block.</summary>
    public Action<IReadOnlyList<WaitingRun>> OnWoken { get; init; } = static _ => { };

    /// <summary>Called after a change where runs of a store that this process knows wait. Must not block.</summary>
    public Action OnRunsWait { get; init; } = static () => { };

    public DateTimeOffset UtcNow => _clock.GetUtcNow();

    public bool IsClosed
    {
        get
        {
            lock (_sync) return _isClosed;
        }
    }

    /// <summary>The number of held keys.</summary>
    public int CountHeld
    {
        get
        {
            lock (_sync) return Locks.Held.Count();
        }
    }

    /// <summary>Reads under the mutex.</summary>
    /// <exception cref="ObjectDisposedException">The locks were disposed.</exception>
    public T Read<T>(Func<T> read)
    {
        lock (_sync)
        {
            ThrowIfClosed();
            Samples.TakeIfDue(UtcNow, this);
            Statistics.Collect(UtcNow);
            return read();
        }
    }

    /// <summary>Changes something under the mutex, and carries out what follows from it.</summary>
    /// <exception cref="ObjectDisposedException">The locks were disposed.</exception>
    public T Change<T>(Func<T> change)
    {
        T result;
        Consequences consequences;
        lock (_sync)
        {
            ThrowIfClosed();
            Samples.TakeIfDue(UtcNow, this);
            result = change();
            consequences = TakeConsequences();
        }

        CarryOut(consequences);
        return result;
    }

    /// <inheritdoc cref="Change{T}"/>
    public void Change(Action change) => Change(() =>
    {
        change();
        return true;
    });

    /// <summary>
    /// As <see cref="Change{T}"/>, and then serves the callers and the runs that wait for some keys. Does nothing where the locks were disposed.
    /// </summary>
    /// <param name="change">Changes something, and returns the keys.</param>
    public void ChangeThenGrantAndWake(Func<IEnumerable<LockKey>> change)
    {
        Consequences consequences;
        lock (_sync)
        {
            if (_isClosed) return;

            Samples.TakeIfDue(UtcNow, this);
            foreach (var key in change().Distinct().ToList()) _granting.GrantAndWakeNext(key);
            consequences = TakeConsequences();
        }

        CarryOut(consequences);
    }

    /// <summary>Acquires all requested locks or none.</summary>
    public MemoryAnswer TryAcquire(IReadOnlyList<LockRequest> requests, Holder holder, QueueEntry? entry, StackTrace? stack) =>
        Change(() => _granting.TryAcquire(requests, holder, entry, stack));

    /// <summary>Adds a caller that waits for its lock.</summary>
    public void AddWaiter(MemoryWaiter waiter) => Change(() => _granting.AddWaiter(waiter));

    /// <summary>A caller has stopped waiting. A lock that it was granted meanwhile is released.</summary>
    public void Abandon(MemoryWaiter waiter) => ChangeThenGrantAndWake(() =>
    {
        _granting.Abandon(waiter);
        if (waiter.Grant is { } grant) NoteReleased(grant);
        return [];
    });

    public void Release(LockGrant grant)
    {
        var now = UtcNow;
        var held = now - grant.Since;
        Statistics.Counter.Ran(grant.NameKey, grant.Name, new(grant.Run, grant.WaitingSince, grant.Since, now));
        UsualHolds.Add(grant.NameKey, held);
        Meter.Held(new(grant.Template, grant.Name), held);
        ChangeThenGrantAndWake(() =>
        {
            Statistics.Collect(UtcNow);
            _granting.Release(grant);
            NoteReleased(grant);
            return [];
        });
    }

    void ILockOwner.OnHandleCollected(LockGrant grant) => ThreadPool.UnsafeQueueUserWorkItem(ReleaseCollected, grant, preferLocal: false);

    void ILockOwner.CheckClock()
    {
        // No time-out ends the locks of this process.
    }

    /// <summary>Declares the lock of a key lost, as the loss of a session does. The key stays occupied until its handles are disposed.</summary>
    /// <returns>How many handles it had.</returns>
    public int Lose(LockKey key, Exception? cause)
    {
        IReadOnlyList<LockGrant> lost = [];
        ChangeThenGrantAndWake(() =>
        {
            lost = Locks.MarkLost(key);
            foreach (var grant in lost) NoteReleased(grant);
            return [key];
        });
        foreach (var grant in lost) grant.DeclareLost(cause);
        if (lost.Count > 0) Meter.Lost(lost.Count);
        return lost.Count;
    }

    /// <summary>Begins to wait until holders have released their locks.</summary>
    /// <returns>The wait; null where there are no holders.</returns>
    public MemoryReleaseWait? WaitForRelease(Func<IReadOnlyList<LockGrant>> findHolders) => Change(() =>
    {
        var holders = findHolders();
        if (holders.Count == 0) return null;

        var wait = new MemoryReleaseWait(holders);
        _releaseWaits.Add(wait);
        return wait;
    });

    /// <summary>Ends such a wait.</summary>
    public void Forget(MemoryReleaseWait wait) => ChangeThenGrantAndWake(() =>
    {
        _releaseWaits.Remove(wait);
        return [];
    });

    /// <summary>Declares all locks lost and fails all callers that wait.</summary>
    /// <returns>False where that was done before.</returns>
    public bool Close()
    {
        IReadOnlyList<LockGrant> lost;
        IReadOnlyList<MemoryWaiter> waiters;
        lock (_sync)
        {
            if (_isClosed) return false;

            lost = [.. Locks.Held.SelectMany(static entry => entry.Grants)];
            waiters = Locks.TakeWaiters();
            _isClosed = true;
        }

        foreach (var grant in lost) grant.DeclareLost();
        foreach (var waiter in waiters) waiter.Fail(new ObjectDisposedException(typeof(InMemoryLocks).FullName));
        foreach (var wait in _releaseWaits) wait.Complete();
        Meter.Dispose();
        return true;
    }

    private void ReleaseCollected(LockGrant grant)
    {
        if (grant.IsReleased) return;

        grant.DeclareLost(new InvalidOperationException("its handle was dropped without being disposed"));
        grant.Release();
        _log.HandleCollected(
            grant.ToString(), grant.Key.Value, DisplayText.Name(grant.Holder.Run ?? "unknown code"), grant.Since, grant.Stack?.ToString().Trim() ?? "unknown");
    }

    private void NoteReleased(LockGrant grant) => _releaseWaits.ForEach(wait => wait.Released(grant));

    private void ThrowIfClosed() => ObjectDisposedException.ThrowIf(_isClosed, typeof(InMemoryLocks));

    private Consequences TakeConsequences() => new(_granting.TakeAnswered(), TakeWakes(), [.. Queue.Woken.Where(static entry => !entry.IsParked).Select(static entry => entry.Number)], Queue.All.Any() && Stores.All.Count > 0);

    /// <summary>The woken runs that a store must start now. A run that is not parked yet is left out: its wake is passed on when it is parked.</summary>
    private List<WaitingRun> TakeWakes()
    {
        var wakes = new List<WaitingRun>();
        foreach (var entry in Queue.Woken.Where(entry => entry is { IsParked: true, IsDelivered: false } && Stores.Find(entry.Store) is not null).OrderBy(static entry => entry.Number))
        {
            entry.IsDelivered = true;
            wakes.Add(MemoryRuns.AsWaiting(entry, UtcNow));
        }

        return wakes;
    }

    private void CarryOut(Consequences consequences)
    {
        foreach (var waiter in consequences.Answered) waiter.Complete();
        foreach (var entry in consequences.WokenInWorkers) InWorkers.ReadAgain(entry);
        if (consequences.Wakes.Count > 0) OnWoken(consequences.Wakes);
        if (consequences.RunsWait) OnRunsWait();
    }

    private readonly record struct Consequences(List<MemoryWaiter> Answered, List<WaitingRun> Wakes, List<long> WokenInWorkers, bool RunsWait);
}
