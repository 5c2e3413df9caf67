using System.Collections.Concurrent;
using Hangfire;
using Hangfire.Server;
using Hangfire.Storage.Monitoring;
using JobLocks.Primitives;
using JobLocks.WaitQueue;

namespace JobLocks.Hangfire;

/// <summary>
/// The servers of this process that work on a storage, and whether they have free workers: a process with only clients or a dashboard starts no runs. Which
/// servers are in this process, Hangfire says in the process. The storage says which of them are its own, and their queues and workers. Thread-safe.
/// </summary>
internal sealed class ServersHere(JobStorage storage)
{
    private const string ItemKey = "JobLocks.Busy";

    // How long the answer of the storage holds while the servers of this process are the same.
    private static readonly TimeSpan BetweenLooks = TimeSpan.FromSeconds(5);

    private readonly ConcurrentDictionary<string, int> _busy = new(StringComparer.Ordinal);
    private readonly StoppingServers _stopping = new();
    private volatile IReadOnlyList<ServerDto>? _servers;
    private TimeSpan _lookedAt;
    private int _countWhenLooked;

    /// <summary>Called when a worker has become free.</summary>
    public Action WorkerFreed { get; set; } = static () => { };

    /// <summary>
    /// The free workers of each server that takes runs. As many as are needed, for all queues, where the storage was not asked yet for the servers of this process.
    /// </summary>
    public IReadOnlyList<WorkerPool> FreeWorkers => _servers is { } servers
        ? [.. servers.Where(TakesRuns).Select(server => new WorkerPool([.. server.Queues ?? []], server.WorkersCount - _busy.GetValueOrDefault(server.Name)))]
        : LocalServerList.IsKnown && LocalServerList.Count == 0 ? [] : [new(Queues: null, int.MaxValue)];

    /// <summary>
    /// Whether one of them takes runs. Asks the storage at most once in five seconds while that is so, unless a server of this process has started or ended.
    /// </summary>
    public bool Any()
    {
        var count = LocalServerList.Count;
        if (LocalServerList.IsKnown && count == 0)
        {
            _servers = [];
            return false;
        }

        if (count == _countWhenLooked && AnyTakesRuns() && BootClock.Now - _lookedAt < BetweenLooks) return true;

        try
        {
            _servers = [.. storage.GetMonitoringApi().Servers().Where(IsHere)];
            _countWhenLooked = count;
            _stopping.Forget(server => !IsHere(server));
        }
        catch (Exception)
        {
            // The last answer holds. An unreachable storage has not lost its servers, and the next run that needs it logs the error.
        }

        _lookedAt = BootClock.Now;
        return AnyTakesRuns();
    }

    /// <summary>A worker has begun a run.</summary>
    public void Begin(PerformContext context)
    {
        context.Items[ItemKey] = this;
        _stopping.Begin(context);
        // It had not announced itself when the storage was last asked.
        if (_servers is { } servers && context.ServerId is { } own && !servers.Any(server => string.Equals(server.Name, own, StringComparison.Ordinal))) _servers = null;
        _busy.AddOrUpdate(context.ServerId ?? "", 1, static (_, busy) => busy + 1);
    }

    /// <summary>A worker is about to be free. Counts once for a run: from when it releases its lock, or ends.</summary>
    public void End(PerformContext context)
    {
        if (!context.Items.Remove(ItemKey)) return;

        _stopping.End(context);
        _busy.AddOrUpdate(context.ServerId ?? "", 0, static (_, busy) => busy - 1);
        WorkerFreed();
    }

    private bool AnyTakesRuns() => _servers?.Any(TakesRuns) == true;

    private bool TakesRuns(ServerDto server) => IsHere(server.Name) && !_stopping.Contains(server.Name) && !ConfiguredGates.IsHostStopping(storage);

    private bool IsHere(ServerDto server) => IsHere(server.Name);

    /// <summary>Where Hangfire has no list of its servers, one is known by the runs that it has performed.</summary>
    private bool IsHere(string server) => LocalServerList.IsKnown ? LocalServerList.Contains(server) : _busy.ContainsKey(server);
}
