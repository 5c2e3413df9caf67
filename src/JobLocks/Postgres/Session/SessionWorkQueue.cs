using System.Diagnostics;
using JobLocks.Postgres.Locks;
using JobLocks.Primitives;

namespace JobLocks.Postgres.Session;

/// <summary>
/// The work that waits for the session. Decides which thread does it, the session thread or the caller's, and whether it first gathers more operations. All
/// operations that are noted while the session is busy are sent in one round trip. All members except <see cref="Gather"/> demand the mutex.
/// </summary>
internal sealed class SessionWorkQueue(StateMutex mutex, LockTableOutput output, DeclaredLimits limits)
{
    // With more operations in one statement, the first of them would wait too long for the last.
    private const int MostInOneStatement = 1000;

    // One caller's release and next acquire are not contention.
    private const int ContentionThreshold = 3;

    // With more callers than this, the processors are busy anyhow.
    private const int LargestGatheredBatch = 24;

    // Each takes a round trip. Lock operations that are noted meanwhile wait for no more of them.
    private const int MostQueries = 8;

    private static readonly TimeSpan ShortestGathering = TimeSpan.FromMicroseconds(30);
    private static readonly TimeSpan LongestGathering = TimeSpan.FromMicroseconds(100);
    private static readonly TimeSpan ShortWait = TimeSpan.FromMilliseconds(1);
    private static readonly TimeSpan RecentWork = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan FastRoundTrip = TimeSpan.FromMilliseconds(0.5);
    private static readonly TimeSpan Recently = TimeSpan.FromSeconds(1);

    private List<SessionQuery> _queries = [];
    private TimeSpan _workedAt;
    private TimeSpan _roundTrip;
    private TimeSpan _waitersCouldRunAt = TimeSpan.MinValue / 2;
    private bool _heartbeatIsDue;
    // Also read by Gather, without the mutex.
    private volatile bool _isContended;
    private volatile int _lastBatchSize;

    /// <summary>Whether there is anything to do.</summary>
    public bool HasWork => output.Operations.Count > 0 || _queries.Count > 0 || _heartbeatIsDue;

    /// <summary>Whether there is work for which the session thread is woken.</summary>
    public bool HasUrgentWork(LockSession session) =>
        HasWork && (!session.IsInShortWait || output.AwaitedOperations > 0 || _queries.Count > 0 || _heartbeatIsDue);

    /// <summary>Adds a statement that is not a lock operation. It is sent after all operations noted so far.</summary>
    public void Add(SessionQuery query)
    {
        mutex.AssertHeld();
        _queries.Add(query);
    }

    /// <summary>Adds the statements that follow from changes of the local lock table. No run waits for them.</summary>
    /// <param name="comparesLimits">Whether the session can compare the limits that processes declare.</param>
    public void AddFollowUps(bool comparesLimits)
    {
        foreach (var release in output.TakeReaderReleases()) Add(new(session => session.DeleteReadModelRows([release]), static _ => { }));
        foreach (var request in output.TakeGrantedSlots())
        {
            if (comparesLimits && limits.IsNew(request)) Add(new(session => limits.Compare(session, request), _ => { lock (mutex) limits.Failed(request); }));
        }
    }

    /// <summary>Requests a statement that proves that the session is alive.</summary>
    public void RequestHeartbeat()
    {
        mutex.AssertHeld();
        _heartbeatIsDue = true;
    }

    /// <summary>The session broke: the next one needs no heartbeat yet.</summary>
    public void ForgetHeartbeat()
    {
        mutex.AssertHeld();
        _heartbeatIsDue = false;
    }

    /// <summary>Removes and returns all queries.</summary>
    public List<SessionQuery> TakeQueries() => TakeQueries(int.MaxValue);

    /// <summary>A run in the wait queue can run.</summary>
    public void WaitersCanRun()
    {
        mutex.AssertHeld();
        _waitersCouldRunAt = BootClock.Now;
    }

    /// <summary>Removes and returns the next work for a session, which is busy from now on.</summary>
    public SessionWork Take(LockSession session)
    {
        mutex.AssertHeld();
        session.IsBusy = true;
        _heartbeatIsDue = false;
        var operations = output.TakeOperations(MostInOneStatement);
        _isContended = operations.Count > ContentionThreshold;
        _lastBatchSize = output.ResetAwaitedOperations();
        session.Sent = operations;
        return new(operations, TakeQueries(MostQueries));
    }

    /// <summary>
    /// Removes and returns the work for the caller's thread if the session is idle and the server is fast and has just answered: waking a thread takes as
    /// long as a round trip on a fast network. Under contention the session thread keeps the work, because one round trip then carries many operations.
    /// </summary>
    public SessionWork? TakeOnCallerThread(LockSession session) =>
        session is { IsOpen: true, IsBusy: false } && !_isContended && _roundTrip < FastRoundTrip && BootClock.Now - session.ProvedAt < Recently ? Take(session) : null;

    /// <summary>Blocks the session thread until there may be work.</summary>
    public void Wait(LockSession session)
    {
        mutex.AssertHeld();
        // Shortly after other work, a release alone does not wake this thread: it is sent with the next acquire, or after this short wait.
        // Not while runs wait in the queue, because the short wait would delay them.
        session.IsInShortWait = BootClock.Now - _workedAt < RecentWork && BootClock.Now - _waitersCouldRunAt > Recently;
        session.IsIdle = true;
        mutex.Wait(session.IsInShortWait ? ShortWait : Timeout.InfiniteTimeSpan);
        session.IsIdle = false;
    }

    /// <summary>The session has done work.</summary>
    public void Done(TimeSpan roundTrip)
    {
        mutex.AssertHeld();
        _workedAt = BootClock.Now;
        _roundTrip += (roundTrip - _roundTrip) / 8;
    }

    /// <summary>
    /// Callers that sent requests together will probably do so again. So this thread spins for about as long as it takes to wake it, and then sends all their
    /// operations at once. Called without the mutex.
    /// </summary>
    public void Gather()
    {
        if (!_isContended || _lastBatchSize > LargestGatheredBatch) return;

        var since = Stopwatch.GetTimestamp();
        while (Stopwatch.GetElapsedTime(since) is var waited && waited < LongestGathering)
        {
            var awaited = output.AwaitedOperations;
            if (awaited >= _lastBatchSize || (awaited > 0 && waited > ShortestGathering)) return;

            Thread.SpinWait(20);
        }
    }

    private List<SessionQuery> TakeQueries(int atMost)
    {
        mutex.AssertHeld();
        var taken = _queries;
        _queries = taken.Count <= atMost ? [] : taken.GetRange(atMost, taken.Count - atMost);
        if (taken.Count > atMost) taken.RemoveRange(atMost, taken.Count - atMost);
        return taken;
    }
}
