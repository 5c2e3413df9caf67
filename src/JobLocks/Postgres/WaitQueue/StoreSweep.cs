using JobLocks.Diagnostics;
using JobLocks.Postgres.Locks;
using JobLocks.Primitives;
using JobLocks.WaitQueue;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace JobLocks.Postgres.WaitQueue;

/// <summary>
/// The periodic work for one job store: its id, its presence, its lost entries, and its missed wakes. Used by the thread of the
/// <see cref="WakeDispatcher"/> alone, except <see cref="Leave"/>.
/// </summary>
internal sealed class StoreSweep(
    KnownStores stores, StorePresence presence, WaitQueueSweep sweep, RestoredEntries restored, RunWaker waker, WakeFailures failures,
    LockDispatcher dispatcher, ILogger log)
{
    // Earlier ids of stores, under which the wait queue may still have entries.
    private readonly HashSet<string> _toRename = new(StringComparer.Ordinal);

    /// <summary>Sweeps a store. A store for which no scheduler of this process works is left to other processes.</summary>
    public void Sweep(IRunStore store)
    {
        var id = Blocking.Wait(store.IdentifyAsync(CancellationToken.None).AsTask());
        FollowId(store, id);
        var canStart = Blocking.Wait(store.CanStartRunsAsync(CancellationToken.None).AsTask());
        // Other processes remove the entries of a store in memory while no scheduler of this process can start its runs. Do not restore them.
        if (dispatcher.Sessions.Capabilities.HasWaitQueue == true && (canStart || !VolatileStore.Is(id))) failures.Try(() => restored.Restore(store));
        if (!canStart || stores.Find(id) is null)
        {
            if (!IsServedByAnother(store, id)) Leave(id);
            return;
        }

        presence.Announce(id);
        // The store was closed in the meantime.
        if (stores.Find(id) is null) presence.Withdraw(id);
        sweep.Sweep(store);
        // Another run may occupy the worker that was free when a run was woken.
        var free = new FreeWorkers([store]);
        if (waker.PendingWakes.QueuesOfUnstartedRuns(id).Any(queue => !free.HasWorkerFor(queue))) waker.TryNotifyOtherProcesses(id);
    }

    /// <summary>Whether another scheduler of this process can start runs of the same store.</summary>
    private bool IsServedByAnother(IRunStore store, string id) => stores.All.Any(
        other => other != store && string.Equals(other.Id, id, StringComparison.Ordinal) && Blocking.Wait(other.CanStartRunsAsync(CancellationToken.None).AsTask()));

    /// <summary>Leaves a store to other processes. Thread-safe.</summary>
    public void Leave(string store)
    {
        sweep.StopLeading(store);
        presence.Withdraw(store);
    }

    private void FollowId(IRunStore store, string id)
    {
        var earlierIds = stores.Rename(store, id, out var isNew);
        if (isNew)
        {
            _toRename.Add(earlierIds[^1]);
            log.Renamed(DisplayText.Name(earlierIds[^1]), DisplayText.Name(id));
        }

        // A run that was enqueued in the meantime has an entry under the id that it knew.
        foreach (var earlierId in earlierIds.Where(earlierId => _toRename.Contains(earlierId) || presence.IsAnnouncedOrPending(earlierId))) Rename(earlierId, id);
    }

    /// <summary>
    /// Moves the entries of a store to its new id: it was restored, or another process has renamed it. If that fails, the next sweep tries again.
    /// </summary>
    private void Rename(string oldId, string newId)
    {
        _toRename.Add(oldId);
        sweep.StopLeading(oldId);
        if (dispatcher.Sessions.Capabilities.HasWaitQueue != true) return;

        waker.Execute(SweepSql.RenameStore, new NpgsqlParameter<string> { TypedValue = oldId }, new NpgsqlParameter<string> { TypedValue = newId });
        waker.LocallyParked.Rename(oldId, newId);
        _toRename.Remove(oldId);
        // Last, since every id that is still announced is renamed again.
        presence.Withdraw(oldId);
    }
}
