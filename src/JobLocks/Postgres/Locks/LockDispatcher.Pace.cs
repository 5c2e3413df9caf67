using System.Diagnostics;
using JobLocks.Postgres.Session;
using JobLocks.Primitives;

namespace JobLocks.Postgres.Locks;

/// <content>Who does the session's work, and when: its own thread or a caller in place, at once or gathered.</content>
internal sealed partial class LockDispatcher
{
    // A release and a take of one caller are no crowd.
    private const int ContentionThreshold = 3;

    // A larger crowd keeps the processors busy by itself.
    private const int LargestGatheredBatch = 24;

    // Each takes a round trip of its own, and the locks that are asked for meanwhile wait for no more of them.
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

    private bool HasWork => _table.Orders.Count > 0 || _questions.Count > 0 || _heartbeatIsDue;

    private bool HasUrgentWork => HasWork && (_session is not { IsInShortWait: true } || _table.AwaitedOperations > 0 || _questions.Count > 0 || _heartbeatIsDue);

    /// <summary>Waits for something to do. Null where the session is no longer wanted, and nobody uses its connection.</summary>
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

                // Where there was work a moment ago, a lock that is given back does not wake it: the next question takes that along,
                // or it is sent after this nap. Not while runs stand in line: a nap would make them wait.
                session.IsInShortWait = BootClock.Now - _workedAt < RecentWork && BootClock.Now - _waitersCouldRunAt > Recently;
                session.IsIdle = true;
                Monitor.Wait(_sync, session.IsInShortWait ? ShortWait : Timeout.InfiniteTimeSpan);
                session.IsIdle = false;
            }
        }
    }

    /// <summary>The session has done its work, and anybody may use it.</summary>
    public void WorkDone(LockSession session, TimeSpan roundTrip)
    {
        lock (_sync)
        {
            session.IsBusy = false;
            // The session's own thread looks by itself. Others leave what came meanwhile to it, and the end to it too.
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
        var operations = _table.TakeOrders(MostInOneStatement);
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
    /// Waking a thread takes as long as a round trip on a fast network. A caller who finds the session idle does the work itself there,
    /// where the server has just shown that it answers. Where many ask, the session's thread goes on: the more in one round trip, the better.
    /// </summary>
    private SessionWork? TakeWorkOnCallerThread() =>
        _isOpen && !_session!.IsBusy && !_isContended && _roundTrip < FastRoundTrip && BootClock.Now - _provedAt < Recently ? TakeWork(_session) : null;

    /// <summary>
    /// Those who asked together will ask together again: as long as it takes to wake this thread, it looks for them instead of sleeping,
    /// and sends all at once.
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
