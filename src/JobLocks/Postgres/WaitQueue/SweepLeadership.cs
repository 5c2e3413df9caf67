using JobLocks.Keys;
using JobLocks.Postgres.Locks;
using JobLocks.Postgres.Reading;
using JobLocks.Primitives;

namespace JobLocks.Postgres.WaitQueue;

/// <summary>
/// Which stores this process sweeps. Of all processes that serve a store, the holder of an advisory lock for it sweeps. Where another program holds that
/// lock, all processes use the next number of the same sequence. When that program releases it, they use the first number again. Thread-safe.
/// </summary>
internal sealed class SweepLeadership(LockDispatcher dispatcher, ForeignInternalLocks internalLocks)
{
    private const int MaxNumbers = 100;

    // Guards _leaderships. TryLead acquires the mutex of the known stores under it, never the other way round.
    private readonly Lock _sync = new();
    private readonly Dictionary<string, (int Backend, int Number)> _leaderships = new(StringComparer.Ordinal);

    /// <summary>Whether this process sweeps for a store.</summary>
    public bool LeadsAny
    {
        get
        {
            lock (_sync) return _leaderships.Values.Any(leadership => dispatcher.Sessions.IsCurrent(leadership.Backend));
        }
    }

    /// <summary>Makes this process the leader that sweeps for a store, unless another process is.</summary>
    /// <param name="store">The id of the store.</param>
    /// <param name="isKnown">Whether this process still knows a store.</param>
    /// <param name="isNew">Whether this call made the process the leader.</param>
    public bool TryLead(string store, Func<string, bool> isKnown, out bool isNew)
    {
        isNew = false;
        var number = CurrentLockNumber(store);
        if (Leads(store, number)) return true;

        // Outside of the mutex: a slow server must not delay a scheduler that shuts down.
        if (Blocking.Wait(dispatcher.QueryAsync(session => session.Query<int?>(SweepSql.AcquireLeadership, number))) is not [{ } backend]) return false;

        lock (_sync)
        {
            if (isKnown(store)) _leaderships[store] = (backend, number);
        }

        if (!isKnown(store))
        {
            Stop(number);
            return false;
        }

        return isNew = true;
    }

    /// <summary>Leaves the sweeps of a store to another process.</summary>
    public void Stop(string store)
    {
        int number;
        lock (_sync)
        {
            if (!_leaderships.Remove(store, out var leadership)) return;

            number = leadership.Number;
        }

        Stop(number);
    }

    /// <summary>The number of the lock for a store: <paramref name="nth"/> is how many numbers before it are held by other programs.</summary>
    public static int LockNumber(string store, int nth) => (int)LockKey.Of(nth == 0 ? store : $"{store} {nth}").Value;

    private int CurrentLockNumber(string store)
    {
        var number = LockNumber(store, 0);
        for (var nth = 1; nth < MaxNumbers && internalLocks.IsHeldByAnother(InternalKeys.Sweep, number); nth++) number = LockNumber(store, nth);
        return number;
    }

    private bool Leads(string store, int number)
    {
        (int Backend, int Number) leadership;
        lock (_sync)
        {
            if (!_leaderships.TryGetValue(store, out leadership)) return false;
            if (dispatcher.Sessions.IsCurrent(leadership.Backend) && leadership.Number == number) return true;

            _leaderships.Remove(store);
        }

        // Another program has released an earlier number. All processes return to it, so that no two of them sweep.
        if (dispatcher.Sessions.IsCurrent(leadership.Backend)) Stop(leadership.Number);
        return false;
    }

    private void Stop(int number)
    {
        try
        {
            _ = dispatcher.QueryAsync(session => session.Query<int?>(SweepSql.ReleaseLeadership, number));
        }
        catch (Exception error) when (error is JobLocksUnavailableException or ObjectDisposedException)
        {
            // The session has ended, and its leadership with it.
        }
    }
}
