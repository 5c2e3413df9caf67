using JobLocks.Gate;
using JobLocks.Locks;
using JobLocks.Primitives;
using JobLocks.WaitQueue;

namespace JobLocks.InMemory.Locks;

/// <summary>Acquires locks for code and for runs, with an asynchronous and a blocking form of each wait. Thread-safe.</summary>
internal sealed class MemoryAcquisition(MemoryDispatcher dispatcher, ManualRequests manual, JobLocksOptions options, TimeProvider clock)
{
    public JobLockHandle? TryAcquireOne(LockRequest request, CancellationToken stop) => TryAcquireSet([request], manual.Caller, entry: null, stop).Handles is [var handle] ? handle : null;

    /// <summary>Acquires all requested locks, each key once, or none of them.</summary>
    public AcquireResult TryAcquireSet(IReadOnlyList<LockRequest> requests, Holder run, QueueEntry? entry, CancellationToken stop)
    {
        stop.ThrowIfCancellationRequested();
        LockRequest[] inOrder = [.. requests.DistinctBy(static request => request.Key).OrderBy(static request => request.Key.Value)];
        var holder = run with { Application = options.ApplicationName };
        var (grants, refused, isRefusedForQueue) = dispatcher.TryAcquire(inOrder, holder, entry, manual.StackOf(holder));
        if (refused is not null) return new([], refused, isRefusedForQueue);

        var byKey = grants.ToDictionary(static grant => grant.NameKey);
        return new(JobLockHandle.Of([.. requests.DistinctBy(static request => request.Key).Select(request => byKey[request.Key])]), null);
    }

    public async Task<JobLockHandle> AcquireOneAsync(LockRequest request, TimeSpan timeout, CancellationToken stop)
    {
        var waiter = AddWaiter(request, timeout, stop);
        try
        {
            await waiter.Answer.WaitAsync(timeout, clock, stop).ConfigureAwait(false);
            return new(waiter.Grant!);
        }
        catch (OperationCanceledException)
        {
            dispatcher.Abandon(waiter);
            throw;
        }
        catch (TimeoutException)
        {
            dispatcher.Abandon(waiter);
            throw ManualRequests.TimedOut(request, timeout, FindHolder(request));
        }
    }

    public JobLockHandle AcquireOne(LockRequest request, TimeSpan timeout, CancellationToken stop)
    {
        var waiter = AddWaiter(request, timeout, stop);
        try
        {
            if (TryWait(waiter.Answer, timeout, stop))
            {
                Blocking.Wait(waiter.Answer);
                return new(waiter.Grant!);
            }
        }
        catch (OperationCanceledException)
        {
            dispatcher.Abandon(waiter);
            throw;
        }

        dispatcher.Abandon(waiter);
        throw ManualRequests.TimedOut(request, timeout, FindHolder(request));
    }

    public Holder? FindHolder(LockRequest request) => dispatcher.Read(() => dispatcher.Locks.FindHolder(request));

    private MemoryWaiter AddWaiter(LockRequest request, TimeSpan timeout, CancellationToken stop)
    {
        ManualRequests.CheckTimeout(timeout);
        stop.ThrowIfCancellationRequested();
        var waiter = new MemoryWaiter(request, manual.Caller, manual.StackOf(manual.Caller));
        dispatcher.AddWaiter(waiter);
        return waiter;
    }

    /// <summary>Blocks until the answer, or until the time is over by the clock of these locks.</summary>
    private bool TryWait(Task answer, TimeSpan timeout, CancellationToken stop)
    {
        // The clock of the machine needs no timer, and so no thread of the pool.
        if (clock == TimeProvider.System) return Blocking.TryWait(answer, timeout, stop);

        using var answered = CancellationTokenSource.CreateLinkedTokenSource(stop);
        Blocking.TryWait(Task.WhenAny(answer, Task.Delay(timeout, clock, answered.Token)), Timeout.InfiniteTimeSpan, stop);
        answered.Cancel();
        return answer.IsCompleted;
    }
}
