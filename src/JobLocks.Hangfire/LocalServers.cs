using System.Collections.Concurrent;
using Hangfire;
using Hangfire.Server;
using Hangfire.Storage.Monitoring;
using JobLocks.Gate;
using JobLocks.Primitives;
using JobLocks.WaitQueue;

namespace JobLocks.Hangfire;

/// <summary>
/// The servers of this process that work on a storage, and their free workers. A process with only clients or a dashboard starts no runs. Hangfire's internal
/// list contains the servers of this process; the storage lists its own servers, with their queues and workers. Thread-safe.
/// </summary>
internal sealed class LocalServers(JobStorage storage)
{
    private const string ItemKey = "JobLocks.Busy";

    // How long the answer of the storage is used while the number of servers in this process is unchanged.
    private static readonly TimeSpan AnswerLifetime = TimeSpan.FromSeconds(5);

    private readonly ConcurrentDictionary<string, int> _busy = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, int> _deciding = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, WorkerShare> _waiting = new(StringComparer.Ordinal);
    private readonly StoppingServers _stopping = new();
    private volatile IReadOnlyList<ServerDto>? _servers;
    private int _unknownServers;
    // Used only by Any, which the thread of the sweep calls.
    private TimeSpan _readAt;
    private int _countWhenRead;

    /// <summary>Called when a worker has become free.</summary>
    public Action WorkerFreed { get; set; } = static () => { };

    /// <summary>
    /// The free workers of each server that starts runs. Before the storage was asked for the servers of this process: unlimited workers for all queues.
    /// </summary>
    public IReadOnlyList<WorkerPool> FreeWorkers => _servers is { } servers
        ? [.. servers.Where(StartsRuns).Select(server => new WorkerPool([.. server.Queues ?? []], server.WorkersCount - _busy.GetValueOrDefault(server.Name)))]
        : LocalServerList.IsKnown && LocalServerList.Count == 0 ? [] : [new(Queues: null, int.MaxValue)];

    /// <summary>
    /// Whether at least one server of this process starts runs. While that is so, the storage is asked at most once in five seconds, unless a server of this
    /// process has started or ended.
    /// </summary>
    public bool Any()
    {
        var count = LocalServerList.Count;
        if (LocalServerList.IsKnown && count == 0)
        {
            _servers = [];
            return false;
        }

        if (count == _countWhenRead && AnyStartsRuns() && BootClock.Now - _readAt < AnswerLifetime) return true;

        try
        {
            var unknownBefore = Volatile.Read(ref _unknownServers);
            _servers = [.. storage.GetMonitoringApi().Servers().Where(IsHere)];
            // A server that is missing in the answer may have begun a run meanwhile.
            if (Volatile.Read(ref _unknownServers) != unknownBefore) _servers = null;
            _countWhenRead = count;
            _stopping.Forget(server => !IsHere(server));
            foreach (var ended in _waiting.Keys.Where(server => !IsHere(server))) _waiting.TryRemove(ended, out _);
        }
        catch (Exception)
        {
            // The last answer stays in use. The servers of an unreachable storage still exist, and the next run that needs the storage logs the error.
        }

        _readAt = BootClock.Now;
        return AnyStartsRuns();
    }

    /// <summary>Records that a worker has begun a run.</summary>
    public void Begin(PerformContext context)
    {
        context.Items[ItemKey] = this;
        _stopping.Begin(context);
        // The server is missing in the last answer, because it had not announced itself yet. The storage must be asked again.
        if (_servers is { } servers && context.ServerId is { } serverId && !servers.Any(server => string.Equals(server.Name, serverId, StringComparison.Ordinal)))
        {
            Interlocked.Increment(ref _unknownServers);
            _servers = null;
        }

        _busy.AddOrUpdate(context.ServerId ?? "", 1, static (_, busy) => busy + 1);
    }

    /// <summary>Records that a worker is about to be free. Counts once for each run: when the run releases its lock, or when it ends.</summary>
    public void End(PerformContext context)
    {
        if (!context.Items.Remove(ItemKey)) return;

        _stopping.End(context);
        _busy.AddOrUpdate(context.ServerId ?? "", 0, static (_, busy) => busy - 1);
        WorkerFreed();
    }

    /// <summary>Records that the gate decides about a run, until the result is called. Its worker performs no job meanwhile.</summary>
    public IDisposable BeginDecision(PerformContext context)
    {
        var server = context.ServerId ?? "";
        _deciding.AddOrUpdate(server, 1, static (_, deciding) => deciding + 1);
        return new Decision(() => _deciding.AddOrUpdate(server, 0, static (_, deciding) => deciding - 1));
    }

    /// <summary>How many more runs may wait in workers of these servers.</summary>
    public int RoomToWait(double share) => _servers?.Where(StartsRuns).Sum(server => WaitingIn(server.Name).Room(share, server.WorkersCount, Performing(server.Name))) ?? 0;

    /// <summary>Occupies the worker of a run that waits in it; null where too many workers wait, or where the number of workers is not known yet.</summary>
    public IDisposable? TryKeepWorker(PerformContext context, double share)
    {
        if (_servers is not { } servers || servers.FirstOrDefault(server => string.Equals(server.Name, context.ServerId, StringComparison.Ordinal)) is not { } server) return null;

        return StartsRuns(server) ? WaitingIn(server.Name).TryOccupy(share, server.WorkersCount, Performing(server.Name)) : null;
    }

    private WorkerShare WaitingIn(string server) => _waiting.GetOrAdd(server, static _ => new());

    /// <summary>How many workers of a server perform a job. The others are free, or their runs are at the gate.</summary>
    private int Performing(string server) => Math.Max(0, _busy.GetValueOrDefault(server) - _deciding.GetValueOrDefault(server));

    private bool AnyStartsRuns() => _servers?.Any(StartsRuns) == true;

    private bool StartsRuns(ServerDto server) => IsHere(server.Name) && !_stopping.Contains(server.Name) && !ConfiguredGates.IsHostStopping(storage);

    private bool IsHere(ServerDto server) => IsHere(server.Name);

    /// <summary>Whether a server runs in this process. If Hangfire's list is not available, a server is known after its first run.</summary>
    private bool IsHere(string server) => LocalServerList.IsKnown ? LocalServerList.Contains(server) : _busy.ContainsKey(server);

    private sealed class Decision(Action end) : IDisposable
    {
        public void Dispose() => end();
    }
}
