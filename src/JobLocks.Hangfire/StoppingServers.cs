using System.Collections.Concurrent;
using Hangfire.Server;

namespace JobLocks.Hangfire;

/// <summary>
/// The servers that were told to stop and still have runs: they take no further ones. Hangfire says so to the runs alone, by their cancellation tokens;
/// a server without runs ends at once. Thread-safe.
/// </summary>
internal sealed class StoppingServers
{
    private readonly ConcurrentDictionary<PerformContext, string> _runs = [];
    private readonly ConcurrentDictionary<string, bool> _stopping = new(StringComparer.Ordinal);

    /// <summary>A run begins.</summary>
    public void Begin(PerformContext run)
    {
        if (run.ServerId is { } server) _runs[run] = server;
    }

    /// <summary>A run ends, or is about to.</summary>
    public void End(PerformContext run)
    {
        if (_runs.TryRemove(run, out var server) && IsTold(run)) _stopping[server] = true;
    }

    /// <summary>Whether this server was told to stop.</summary>
    public bool Contains(string server)
    {
        if (_stopping.ContainsKey(server)) return true;
        if (!_runs.Any(run => string.Equals(run.Value, server, StringComparison.Ordinal) && IsTold(run.Key))) return false;

        _stopping[server] = true;
        return true;
    }

    /// <summary>Forgets the servers that have ended.</summary>
    public void Forget(Func<string, bool> hasEnded)
    {
        foreach (var server in _stopping.Keys.Where(hasEnded)) _stopping.TryRemove(server, out _);
    }

    /// <summary>The token of a run is cancelled as well where the job was deleted or taken by another worker: that says nothing of the server.</summary>
    private static bool IsTold(PerformContext run)
    {
        try
        {
            // Tells the two apart, and asks the storage only for a token that is not cancelled.
            if (run.CancellationToken.ShutdownToken.IsCancellationRequested) run.CancellationToken.ThrowIfCancellationRequested();
            return false;
        }
        catch (Exception over) when (over is JobAbortedException or ObjectDisposedException)
        {
            return false;
        }
        catch (OperationCanceledException)
        {
            return true;
        }
    }
}
