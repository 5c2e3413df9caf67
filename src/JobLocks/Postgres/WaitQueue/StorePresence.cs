using System.Runtime.InteropServices;
using JobLocks.Diagnostics;
using JobLocks.Postgres.Locks;
using JobLocks.Primitives;
using Microsoft.Extensions.Logging;

namespace JobLocks.Postgres.WaitQueue;

/// <summary>
/// Shows other processes for which stores this one can start runs. The lock table of the server leads: what is kept here is on which session that was
/// shown last. Thread-safe.
/// </summary>
internal sealed class StorePresence(LockDispatcher dispatcher, ILogger log)
{
    private readonly Lock _sync = new();

    // Where a store is shown; the backend 0 where that is still to be done.
    private readonly Dictionary<string, Place> _shown = new(StringComparer.Ordinal);

    /// <summary>Whether the session of this process shows the store.</summary>
    public bool IsShown(string store)
    {
        lock (_sync) return _shown.TryGetValue(store, out var at) && at.Backend != 0 && dispatcher.IsCurrent(at.Backend);
    }

    /// <summary>Whether a store is shown, or is to be.</summary>
    public bool Shows(string store)
    {
        lock (_sync) return _shown.ContainsKey(store);
    }

    /// <summary>Shows a store from now on, also on the sessions that follow. Waits for nothing.</summary>
    public void Show(string store)
    {
        lock (_sync) _shown.TryAdd(store, default);
        _ = ShowAgainAsync(store);
    }

    /// <summary>The same, and ends when it is shown: a run that waits is passed over before that.</summary>
    /// <exception cref="JobLocksUnavailableException">The server cannot be asked.</exception>
    public Task EnsureShownAsync(string store)
    {
        lock (_sync) _shown.TryAdd(store, default);
        return IsShown(store) ? Task.CompletedTask : ShowAsync(store);
    }

    /// <summary>Does not show it any more. Waits for nothing.</summary>
    public void Hide(string store)
    {
        Place at;
        lock (_sync)
        {
            if (!_shown.Remove(store, out at) || at.Backend == 0 || !dispatcher.IsCurrent(at.Backend)) return;
        }

        try
        {
            _ = dispatcher.AskAsync(session => session.Ask<int?>(PresenceSql.Hide, new { Store = store, at.Class }));
        }
        catch (Exception away) when (away is JobLocksUnavailableException or ObjectDisposedException)
        {
            // It is gone with its session.
        }
    }

    /// <summary>A new session shows nothing yet. Waits for nothing.</summary>
    public void ShowAll()
    {
        string[] stores;
        lock (_sync) stores = [.. _shown.Keys];
        foreach (var store in stores) _ = ShowAgainAsync(store);
    }

    private async Task ShowAgainAsync(string store)
    {
        try
        {
            await EnsureShownAsync(store).ConfigureAwait(false);
        }
        catch (Exception away) when (away is JobLocksUnavailableException or ObjectDisposedException)
        {
            // The next session shows it, or there is none any more.
        }
    }

    private Task<bool> ShowAsync(string store) => dispatcher.AskAsync(session =>
    {
        // On the session's own thread, so that two who ask at once show it once.
        lock (_sync)
        {
            if (!_shown.TryGetValue(store, out var at) || at.Backend == session.Backend) return true;
        }

        if (session.Ask<Place?>(PresenceSql.Show, store) is not [{ } shown])
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

        // Hidden meanwhile.
        session.Ask<int?>(PresenceSql.Hide, new { Store = store, shown.Class });
        return true;
    });

    /// <summary>The backend that holds the lock, and the first number of that.</summary>
    [StructLayout(LayoutKind.Auto)]
    private readonly record struct Place(int Backend, int Class);
}
