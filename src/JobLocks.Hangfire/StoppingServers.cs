using System.Collections.Concurrent;
using Hangfire;
using Hangfire.Server;

namespace JobLocks.Hangfire;

/// <summary>
/// The servers that are stopping but still have runs: they start no further runs. Hangfire announces the shutdown only through the cancellation tokens of the
/// runs; a server without runs ends at once. Thread-safe.
/// </summary>
internal sealed class StoppingServers
{
    // Hangfire passes another context object at the end of a run than at its beginning, but the same job object.
    private readonly ConcurrentDictionary<BackgroundJob, PerformContext> _runs = [];
    private readonly ConcurrentDictionary<string, bool> _stopping = new(StringComparer.Ordinal);

    /// <summary>Records that a run begins.</summary>
    public void Begin(PerformContext run)
    {
        if (run.ServerId is not null) _runs[run.BackgroundJob] = run;
    }

    /// <summary>Records that a run ends, or is about to end.</summary>
    public void End(PerformContext run)
    {
        if (_runs.TryRemove(run.BackgroundJob, out var begun) && IsShuttingDown(begun)) _stopping[begun.ServerId] = true;
    }

    /// <summary>Whether this server is stopping.</summary>
    public bool Contains(string server)
    {
        if (_stopping.ContainsKey(server)) return true;
        if (!_runs.Values.Any(run => string.Equals(run.ServerId, server, StringComparison.Ordinal) && IsShuttingDown(run))) return false;

        _stopping[server] = true;
        return true;
    }

    /// <summary>Removes the servers that have ended.</summary>
    public void Forget(Func<string, bool> hasEnded)
    {
        foreach (var server in _stopping.Keys.Where(hasEnded)) _stopping.TryRemove(server, out _);
    }

    /// <summary>
    /// Whether the server of a run is shutting down. The token of a run is also cancelled if its job was deleted or fetched by another worker; that does not
    /// count.
    /// </summary>
    private static bool IsShuttingDown(PerformContext run)
    {
        try
        {
            // This method throws another exception for each of the two causes. It asks the storage only if the token is not cancelled.
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
