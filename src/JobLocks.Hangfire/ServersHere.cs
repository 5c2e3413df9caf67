using System.Collections.Concurrent;
using System.Globalization;
using Hangfire;
using Hangfire.Server;
using Hangfire.Storage.Monitoring;
using JobLocks.Postgres;

namespace JobLocks.Hangfire;

/// <summary>
/// The servers of this process that work on a storage, and whether they have free workers: a process with only clients or a dashboard starts no runs. The
/// storage leads, since Hangfire says nowhere in the process which servers it has. Thread-safe.
/// </summary>
internal sealed class ServersHere(JobStorage storage)
{
    private const string ItemKey = "JobLocks.Busy";

    // A server announces itself a moment after its start, and is asked after with each sweep. It strikes itself out when it stops.
    private static readonly TimeSpan BetweenLooks = TimeSpan.FromSeconds(5);

    // A server that was killed stays in the storage, and another process may get its number. Hangfire's own default is one in 30 seconds.
    private static readonly TimeSpan LongestSilence = TimeSpan.FromMinutes(2);

    private static readonly string ProcessId = Environment.ProcessId.ToString(CultureInfo.InvariantCulture);

    // In the order in which Hangfire looks for it.
    private static readonly string Machine =
        Environment.GetEnvironmentVariable("COMPUTERNAME") ?? Environment.GetEnvironmentVariable("HOSTNAME") ?? Environment.MachineName;

    private readonly ConcurrentDictionary<string, int> _busy = new(StringComparer.Ordinal);
    private volatile IReadOnlyList<ServerDto>? _servers;
    private TimeSpan _lookedAt;

    /// <summary>Called when a worker has become free.</summary>
    public Action WorkerFreed { get; set; } = static () => { };

    /// <summary>The queues of the servers that have a free worker. An entry null, for all of them, where the servers were not asked for yet.</summary>
    public IReadOnlyList<string?> FreeQueues => _servers is { } servers
        ? [.. servers.Where(server => _busy.GetValueOrDefault(server.Name) < server.WorkersCount).SelectMany(static server => server.Queues ?? []).Distinct(StringComparer.Ordinal)]
        : [null];

    /// <summary>Whether there is one. Asks the storage at most once in five seconds while there is.</summary>
    public bool Any()
    {
        if (_servers is { Count: > 0 } && BootClock.Now - _lookedAt < BetweenLooks) return true;

        try
        {
            _servers = [.. storage.GetMonitoringApi().Servers().Where(IsHere)];
        }
        catch (Exception)
        {
            // The last answer holds. An unreachable storage has not lost its servers, and the next run that needs it logs the error.
        }

        _lookedAt = BootClock.Now;
        return _servers is { Count: > 0 };
    }

    /// <summary>A worker has begun a run.</summary>
    public void Begin(PerformContext context)
    {
        context.Items[ItemKey] = this;
        // It had not announced itself when it was last asked after.
        if (_servers is { } servers && context.ServerId is { } own && !servers.Any(server => string.Equals(server.Name, own, StringComparison.Ordinal))) _servers = null;
        _busy.AddOrUpdate(context.ServerId ?? "", 1, static (_, busy) => busy + 1);
    }

    /// <summary>A worker is about to be free. Counts once for a run: from when it releases its lock, or ends.</summary>
    public void End(PerformContext context)
    {
        if (!context.Items.Remove(ItemKey)) return;

        _busy.AddOrUpdate(context.ServerId ?? "", 0, static (_, busy) => busy - 1);
        WorkerFreed();
    }

    /// <summary>
    /// Hangfire names a server by its machine, or by an option, and by process number and GUID. In containers the numbers are often the same, and a
    /// machine that we do not know may be this one by the name of an option: that is believed while it gives signs of life.
    /// </summary>
    private static bool IsHere(ServerDto server)
    {
        if (server.Name.Split(':') is not [.. var named, var process, _] || !string.Equals(process, ProcessId, StringComparison.Ordinal)) return false;

        return string.Equals(string.Join(':', named), Machine, StringComparison.OrdinalIgnoreCase)
            || DateTime.UtcNow - (server.Heartbeat ?? server.StartedAt) < LongestSilence;
    }
}
