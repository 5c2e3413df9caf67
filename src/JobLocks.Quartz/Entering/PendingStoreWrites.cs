using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;

namespace JobLocks.Quartz.Entering;

/// <summary>The writes to the job store that a shutdown waits for: decisions in progress, and runs that are put back in the background. Thread-safe.</summary>
internal sealed class PendingStoreWrites(ILogger log)
{
    private readonly ConcurrentDictionary<Task, bool> _pending = new();

    /// <summary>Adds a write that the scheduler does not wait for. A failure is logged.</summary>
    /// <param name="write">The write, which has begun.</param>
    /// <param name="ended">Called at its end, also after a failure.</param>
    public void Add(Task write, Action ended)
    {
        _pending.TryAdd(write, true);
        _ = write.ContinueWith(
            done =>
            {
                ended();
                _pending.TryRemove(done, out _);
                if (done.Exception is { } broken) log.CannotUpdateStore(broken.GetBaseException());
            },
            CancellationToken.None,
            TaskContinuationOptions.ExecuteSynchronously,
            TaskScheduler.Default);
    }

    /// <summary>Does work that the scheduler waits for, and that may add writes.</summary>
    public async ValueTask RunTrackedAsync(Func<ValueTask> work)
    {
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _pending.TryAdd(done.Task, true);
        try
        {
            await work().ConfigureAwait(false);
        }
        finally
        {
            _pending.TryRemove(done.Task, out _);
            done.SetResult();
        }
    }

    /// <summary>Waits until nothing is pending.</summary>
    public async Task DrainAsync()
    {
        while (_pending.Keys.ToArray() is { Length: > 0 } pending) await Task.WhenAll(pending).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }
}
