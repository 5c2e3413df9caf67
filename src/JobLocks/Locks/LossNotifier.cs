using System.Diagnostics;
using JobLocks.Primitives;

namespace JobLocks.Locks;

/// <summary>
/// Cancels the tokens of lost locks. This runs callbacks of users and schedulers, so no mutex is held meanwhile. Each source is cancelled twice: by a pool
/// thread, so that a slow callback delays no other source, and by a thread of JobLocks, because jobs may occupy the pool and the callbacks must run before
/// the server releases the lock. The second call does nothing. Thread-safe.
/// </summary>
internal static class LossNotifier
{
    private static readonly Queue<CancellationTokenSource> Pending = new();
    // Accessed under the lock on Pending.
    private static bool _isRunning;

    /// <summary>Cancels a source soon, on another thread. Does not wait for its callbacks.</summary>
    public static void Notify(CancellationTokenSource lost)
    {
        ThreadPool.UnsafeQueueUserWorkItem(Cancel, lost, preferLocal: false);
        lock (Pending)
        {
            Pending.Enqueue(lost);
            if (_isRunning) return;

            try
            {
                DedicatedThread.Start("JobLocks loss", CancelAll);
                _isRunning = true;
            }
            catch (Exception noThread) when (noThread is OutOfMemoryException or ThreadStartException)
            {
                // The machine can start no further thread. The thread pool cancels the source.
                Pending.Clear();
            }
        }
    }

    /// <summary>Cancels a source now, on this thread, unless it is cancelled already. Exceptions of callbacks are swallowed.</summary>
    public static void Cancel(CancellationTokenSource lost)
    {
        try
        {
            lost.Cancel();
        }
        catch (AggregateException callbackError)
        {
            // A callback of the user threw. No caller of this method can handle that.
            Debug.WriteLine(callbackError);
        }
    }

    private static void CancelAll()
    {
        while (true)
        {
            CancellationTokenSource? lost;
            lock (Pending)
            {
                _isRunning = Pending.TryDequeue(out lost);
                if (!_isRunning) return;
            }

            Cancel(lost!);
        }
    }
}
