using System.Diagnostics;
using JobLocks.Primitives;

namespace JobLocks.Locks;

/// <summary>
/// Cancels the tokens of lost locks, and so runs the callbacks of users and schedulers, while no mutex is held. The thread pool runs them, so that
/// a slow callback delays no other. A thread of JobLocks runs them too, because the jobs of the users may occupy the whole pool, and the callbacks
/// must run before the server releases the lock. Thread-safe.
/// </summary>
internal static class LossNotifier
{
    private static readonly Queue<CancellationTokenSource> Pending = new();
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
                SessionThread.Start("JobLocks loss", CancelAll);
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
            // A user callback threw. It is not ours to handle, and no caller could react to it.
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
