using System.Runtime.InteropServices;
using JobLocks.Diagnostics;
using JobLocks.Postgres.Locks;
using JobLocks.Primitives;
using Microsoft.Extensions.Logging;

namespace JobLocks.Postgres.WaitQueue;

/// <summary>
/// Shows other processes for which stores this process can start runs. The lock table of the server is authoritative: this class only keeps on which session
/// a store was shown last. Thread-safe.
/// </summary>
internal sealed class StorePresence(LockDispatcher dispatcher, ILogger log)
{
    private readonly Lock _sync = new();

    // The lock that shows each store. Its backend is 0 while the store is not shown yet.
    private readonly Dictionary<string, StoreLock> _shown = new(StringComparer.Ordinal);

    /// <summary>Whether the session of this process shows the store.</summary>
    public bool IsAnnounced(string store)
    {
        lock (_sync) return _shown.TryGetValue(store, out var shownBy) && shownBy.Backend != 0 && dispatcher.Session.IsCurrent(shownBy.Backend);
    }

    /// <summary>Whether a store is shown, or will be.</summary>
    public bool IsAnnouncedOrPending(string store)
    {
        lock (_sync) return _shown.ContainsKey(store);
    }

    /// <summary>Shows a store from now on, on later sessions too. Returns at once.</summary>
    public void Announce(string store)
    {
        lock (_sync) _shown.TryAdd(store, default);
        _ = AnnounceAgainAsync(store);
    }

    /// <summary>Shows a store, and completes when it is shown: until then, other processes bypass its waiting runs.</summary>
    /// <exception cref="JobLocksUnavailableException">The server cannot be reached.</exception>
    public Task EnsureAnnouncedAsync(string store)
    {
        lock (_sync) _shown.TryAdd(store, default);
        return IsAnnounced(store) ? Task.CompletedTask : AnnounceAsync(store);
    }

    /// <summary>Shows a store no longer. Returns at once.</summary>
    public void Withdraw(string store)
    {
        StoreLock shownBy;
        lock (_sync)
        {
            if (!_shown.Remove(store, out shownBy) || shownBy.Backend == 0 || !dispatcher.Session.IsCurrent(shownBy.Backend)) return;
        }

        try
        {
            _ = dispatcher.AskAsync(session => session.Ask<int?>(PresenceSql.Hide, new { Store = store, shownBy.Class }));
        }
        catch (Exception error) when (error is JobLocksUnavailableException or ObjectDisposedException)
        {
            // The session has ended, and its locks with it.
        }
    }

    /// <summary>Shows all stores on a new session. Returns at once.</summary>
    public void AnnounceAll()
    {
        string[] stores;
        lock (_sync) stores = [.. _shown.Keys];
        foreach (var store in stores) _ = AnnounceAgainAsync(store);
    }

    private async Task AnnounceAgainAsync(string store)
    {
        try
        {
            await EnsureAnnouncedAsync(store).ConfigureAwait(false);
        }
        catch (Exception error) when (error is JobLocksUnavailableException or ObjectDisposedException)
        {
            // The next session shows the store, unless this process shuts down.
        }
    }

    private Task<bool> AnnounceAsync(string store) => dispatcher.AskAsync(session =>
    {
        // On the session's own thread, so that two concurrent callers show the store once.
        lock (_sync)
        {
            if (!_shown.TryGetValue(store, out var shownBy) || shownBy.Backend == session.Backend) return true;
        }

        if (session.Ask<StoreLock?>(PresenceSql.Show, store) is not [{ } shown])
        {
            log.CannotShowStore(DisplayText.Name(store));
            return false;
        }

        lock (_sync)
        {
            if (_shown.ContainsKey(store))
            {
                _shown[store] = shown;
                return true;
            }
        }

        // The store was hidden in the meantime.
        session.Ask<int?>(PresenceSql.Hide, new { Store = store, shown.Class });
        return true;
    });

    /// <summary>The lock that shows a store: the backend that holds it, and its first number.</summary>
    [StructLayout(LayoutKind.Auto)]
    private readonly record struct StoreLock(int Backend, int Class);
}
