using JobLocks.Keys;
using JobLocks.Postgres.Locks;
using JobLocks.Postgres.Reading;
using JobLocks.Primitives;

namespace JobLocks.Postgres.WaitQueue;

/// <summary>
/// Which stores this process sweeps: of all that serve a store the one that holds an advisory lock for it. Where another program holds that lock, the
/// next of a row of numbers is used, which all processes count alike; and when it ends, the first one again. Thread-safe.
/// </summary>
internal sealed class SweepLeadership(LockDispatcher dispatcher, InternalLocks internalLocks)
{
    private const int MostNumbers = 100;

    private readonly Dictionary<string, (int Backend, int Number)> _ledBy = new(StringComparer.Ordinal);

    /// <summary>Sweeps for a store, if no other process does.</summary>
    /// <param name="store">Which.</param>
    /// <param name="serves">Whether this process still serves it.</param>
    /// <param name="isNew">Whether it did not before.</param>
    public bool TryLead(string store, Func<string, bool> serves, out bool isNew)
    {
        isNew = false;
        var number = NumberFor(store);
        if (Leads(store, number)) return true;

        // Not behind the lock: a server that is slow to answer must not hold up a scheduler that shuts down.
        if (Blocking.Wait(dispatcher.AskAsync(session => session.Ask<int?>(SweepSql.Lead, number))) is not [{ } leading]) return false;

        lock (_ledBy)
        {
            if (serves(store)) _ledBy[store] = (leading, number);
        }

        if (!serves(store))
        {
            Stop(number);
            return false;
        }

        return isNew = true;
    }

    /// <summary>Lets another process do it.</summary>
    public void Stop(string store)
    {
        int number;
        lock (_ledBy)
        {
            if (!_ledBy.Remove(store, out var led)) return;

            number = led.Number;
        }

        Stop(number);
    }

    /// <summary>The number under which a store is swept, where those before it are held by other programs.</summary>
    public static int NumberOf(string store, int nth) => (int)LockKey.Of(nth == 0 ? store : $"{store} {nth}").Value;

    private int NumberFor(string store)
    {
        var number = NumberOf(store, 0);
        for (var nth = 1; nth < MostNumbers && internalLocks.IsHeldByAnother(InternalKeys.Sweeps, number); nth++) number = NumberOf(store, nth);
        return number;
    }

    private bool Leads(string store, int number)
    {
        (int Backend, int Number) led;
        lock (_ledBy)
        {
            if (!_ledBy.TryGetValue(store, out led)) return false;
            if (dispatcher.IsCurrent(led.Backend) && led.Number == number) return true;

            _ledBy.Remove(store);
        }

        // Another program has let go of an earlier number: so that no two processes sweep, all go back to it.
        if (dispatcher.IsCurrent(led.Backend)) Stop(led.Number);
        return false;
    }

    private void Stop(int number)
    {
        try
        {
            _ = dispatcher.AskAsync(session => session.Ask<int?>(SweepSql.StopLeading, number));
        }
        catch (Exception away) when (away is JobLocksUnavailableException or ObjectDisposedException)
        {
            // Whatever led is gone with its session.
        }
    }
}
