using System.Runtime.InteropServices;
using JobLocks.Diagnostics;
using JobLocks.Postgres.Locks;
using JobLocks.Postgres.Session;
using JobLocks.Primitives;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace JobLocks.Postgres.WaitQueue;

/// <summary>
/// Announces to other processes for which stores this process can start runs. The lock table of the server is authoritative: this class only keeps on which session
/// a store was announced last. Thread-safe.
/// </summary>
internal sealed class StorePresence(LockDispatcher dispatcher, ILogger log)
{
    private readonly Lock _sync = new();

    // The lock that announces each store. Its backend is 0 while the store is not announced yet.
    private readonly Dictionary<string, StoreLock> _announcements = new(StringComparer.Ordinal);

    /// <summary>Whether the session of this process announces the store.</summary>
    public bool IsAnnounced(string store)
    {
        lock (_sync) return _announcements.TryGetValue(store, out var announcement) && announcement.Backend != 0 && dispatcher.Sessions.IsCurrent(announcement.Backend);
    }

    /// <summary>The stores that the current session of this process announces.</summary>
    public IReadOnlyList<string> Announced
    {
        get
        {
            lock (_sync)
            {
                return [.. _announcements.Where(store => store.Value.Backend != 0 && dispatcher.Sessions.IsCurrent(store.Value.Backend))
                    .Select(static store => store.Key).Order(StringComparer.Ordinal)];
            }
        }
    }

    /// <summary>Whether a store is announced, or will be.</summary>
    public bool IsAnnouncedOrPending(string store)
    {
        lock (_sync) return _announcements.ContainsKey(store);
    }

    /// <summary>Announces a store from now on, on later sessions too. Returns at once.</summary>
    public void Announce(string store)
    {
        lock (_sync) _announcements.TryAdd(store, default);
        _ = AnnounceAgainAsync(store);
    }

    /// <summary>Announces a store, and completes when it is announced: until then, other processes bypass its waiting runs.</summary>
    /// <exception cref="JobLocksUnavailableException">The server cannot be reached.</exception>
    public Task EnsureAnnouncedAsync(string store)
    {
        lock (_sync) _announcements.TryAdd(store, default);
        return IsAnnounced(store) ? Task.CompletedTask : AnnounceAsync(store);
    }

    /// <summary>Withdraws the announcement of a store. Returns at once.</summary>
    public void Withdraw(string store)
    {
        StoreLock announcement;
        lock (_sync)
        {
            if (!_announcements.Remove(store, out announcement) || announcement.Backend == 0 || !dispatcher.Sessions.IsCurrent(announcement.Backend)) return;
        }

        try
        {
            _ = dispatcher.QueryAsync(session => Withdraw(session, store, announcement.Class));
        }
        catch (Exception error) when (error is JobLocksUnavailableException or ObjectDisposedException)
        {
            // The session has ended, and its locks with it.
        }
    }

    /// <summary>Announces all stores on a new session. Returns at once.</summary>
    public void AnnounceAll()
    {
        string[] stores;
        lock (_sync) stores = [.. _announcements.Keys];
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
            // The next session announces the store, unless this process shuts down.
        }
    }

    private Task<bool> AnnounceAsync(string store) => dispatcher.QueryAsync(session =>
    {
        // On the executor, so that two concurrent callers announce the store once.
        lock (_sync)
        {
            if (!_announcements.TryGetValue(store, out var announcement) || announcement.Backend == session.Backend) return true;
        }

        if (session.Query<StoreLock?>(PresenceSql.Announce, store) is not [{ } announced])
        {
            log.CannotShowStore(DisplayText.Name(store));
            return false;
        }

        lock (_sync)
        {
            if (_announcements.ContainsKey(store))
            {
                _announcements[store] = announced;
                return true;
            }
        }

        // The announcement was withdrawn in the meantime.
        return Withdraw(session, store, announced.Class);
    });

    private static bool Withdraw(SessionConnection session, string store, int lockClass)
    {
        for (var isRetry = false; ; isRetry = true)
        {
            try
            {
                session.Query<string>(PresenceSql.Unlist, store);
                session.Query<int?>(PresenceSql.Withdraw, new { Store = store, Class = lockClass });
                return true;
            }
            catch (PostgresException) when (session.IsOpen && !isRetry)
            {
                // For example, an operator cancelled the statement. The store would count as served as long as the session lasts.
            }
        }
    }

    /// <summary>The lock that announces a store: the backend that holds it, and its first number.</summary>
    [StructLayout(LayoutKind.Auto)]
    private readonly record struct StoreLock(int Backend, int Class);
}
