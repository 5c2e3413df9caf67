using System.Diagnostics;
using JobLocks.Postgres.Session;
using JobLocks.Primitives;

namespace JobLocks.Postgres.Locks;

/// <content>
/// Which thread does the session's work, and when: the session thread or the caller's thread, at once or after gathering more operations.
/// </content>
internal sealed partial class LockDispatcher
{
    // One caller's release and next acquire are not contention.
    private const int ContentionThreshold = 3;

    // With more callers than this, the processors are busy anyhow.
    private const int LargestGatheredBatch = 24;

    // Each takes a round trip. Lock operations that are noted meanwhile wait for no more of them.
    private const int MostQuestions = 8;

    private static readonly TimeSpan ShortestGathering = TimeSpan.FromMicroseconds(30);
    private static readonly TimeSpan LongestGathering = TimeSpan.FromMicroseconds(100);
    private static readonly TimeSpan ShortWait = TimeSpan.FromMilliseconds(1);
    private static readonly TimeSpan RecentWork = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan FastRoundTrip = TimeSpan.FromMilliseconds(0.5);
    private static readonly TimeSpan Recently = TimeSpan.FromSeconds(1);

    private bool _isContended;
    private int _lastBatchSize;
    private TimeSpan _workedAt;
    private TimeSpan _roundTrip;
    private TimeSpan _waitersCouldRunAt = TimeSpan.MinValue / 2;

    private bool HasWork => _table.Operations.Count > 0 || _questions.Count > 0 || _heartbeatIsDue;

    private bool HasUrgentWork => HasWork && (_session is not { IsInShortWait: true } || _table.AwaitedOperations > 0 || _questions.Count > 0 || _heartbeatIsDue);

    /// <summary>Blocks until there is work. Returns null when the session is no longer needed and no thread uses its connection.</summary>
    public SessionWork? NextWork(LockSession session)
    {
        Gather();
        lock (_sync)
        {
            while (true)
            {
                if (!session.IsBusy)
                {
                    if (session != _session || _closed) return null;
                    if (HasWork) return TakeWork(session);
                }

                // Shortly after other work, a release alone does not wake this thread: it is sent with the next acquire, or after this short wait.
                // Not while runs wait in the queue, because the short wait would delay them.
                session.IsInShortWait = BootClock.Now - _workedAt < RecentWork && BootClock.Now - _waitersCouldRunAt > Recently;
                session.IsIdle = true;
                Monitor.Wait(_sync, session.IsInShortWait ? ShortWait : Timeout.InfiniteTimeSpan);
                session.IsIdle = false;
            }
        }
    }

    /// <summary>The work is done, and another thread can use the connection.</summary>
    public void WorkDone(LockSession session, TimeSpan roundTrip)
    {
        lock (_sync)
        {
            session.IsBusy = false;
            // The session thread looks for new work by itself. A caller's thread leaves to it the work that was noted meanwhile, and the closing of
            // the connection.
            if (session.IsIdle && (session != _session || _closed || HasUrgentWork)) Monitor.PulseAll(_sync);
            if (session != _session) return;

            _workedAt = BootClock.Now;
            _roundTrip += (roundTrip - _roundTrip) / 8;
        }
    }

    private SessionWork TakeWork(LockSession session)
    {
        session.IsBusy = true;
        _heartbeatIsDue = false;
        var operations = _table.TakeOperations(MostInOneStatement);
        _isContended = operations.Count > ContentionThreshold;
        _lastBatchSize = _table.ResetAwaitedOperations();
        _sent = operations;
        return new(operations, TakeQuestions());
    }

    private List<SessionQuestion> TakeQuestions()
    {
        if (_questions.Count <= MostQuestions) return TakeAll(ref _questions);

        var first = _questions.GetRange(0, MostQuestions);
        _questions.RemoveRange(0, MostQuestions);
        return first;
    }

    /// <summary>
    /// Takes the work for the caller's thread if the session is idle and the server is fast and has just answered: waking a thread takes as long as a
    /// round trip on a fast network. Under contention the session thread keeps the work, because one round trip then carries many operations.
    /// </summary>
    private SessionWork? TakeWorkOnCallerThread() =>
        _isOpen && !_session!.IsBusy && !_isContended && _roundTrip < FastRoundTrip && BootClock.Now - _provedAt < Recently ? TakeWork(_session) : null;

    /// <summary>
    /// Callers that asked together will ask together again. So this thread spins for about as long as it takes to wake it, and then sends all their
    /// operations at once.
    /// </summary>
    private void Gather()
    {
        if (!_isContended || _lastBatchSize > LargestGatheredBatch) return;

        var since = Stopwatch.GetTimestamp();
        while (Stopwatch.GetElapsedTime(since) is var waited && waited < LongestGathering)
        {
            var awaited = _table.AwaitedOperations;
            if (awaited >= _lastBatchSize || (awaited > 0 && waited > ShortestGathering)) return;

            Thread.SpinWait(20);
        }
    }
}
