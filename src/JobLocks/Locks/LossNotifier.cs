using System.Diagnostics;
using JobLocks.Primitives;

namespace JobLocks.Locks;

/// <summary>
/// Runs what users and schedulers have registered for the loss of a lock, outside of all doors. On the thread pool, where one that takes its time holds
/// up no other; and where the users' jobs have taken all of that, on a thread of our own: they must hear of it before the server lets go. Thread-safe.
/// </summary>
internal static class LossNotifier
{
    private static readonly Queue<CancellationTokenSource> Untold = new();
    private static bool _tells;

    /// <summary>Cancels it soon, and does not wait for it.</summary>
    public static void Tell(CancellationTokenSource lost)
    {
        ThreadPool.UnsafeQueueUserWorkItem(Cancel, lost, preferLocal: false);
        lock (Untold)
        {
            Untold.Enqueue(lost);
            if (_tells) return;

            try
            {
                SessionThread.Start("JobLocks loss", TellAll);
                _tells = true;
            }
            catch (Exception noThread) when (noThread is OutOfMemoryException or ThreadStartException)
            {
                // The machine has no thread left for us: the pool does it.
                Untold.Clear();
            }
        }
    }

    /// <summary>Cancels it now, on this thread, unless another one is about it.</summary>
    public static void Cancel(CancellationTokenSource lost)
    {
        try
        {
            lost.Cancel();
        }
        catch (AggregateException theirs)
        {
            // What a user's callback throws is no trouble of ours, and nobody here can mend it.
            Debug.WriteLine(theirs);
        }
    }

    private static void TellAll()
    {
        while (true)
        {
            CancellationTokenSource? lost;
            lock (Untold)
            {
                _tells = Untold.TryDequeue(out lost);
                if (!_tells) return;
            }

            Cancel(lost!);
        }
    }
}
