using System.Diagnostics;
using System.Globalization;
using JobLocks.Locks;
using JobLocks.Naming;
using JobLocks.Primitives;
using JobLocks.WaitQueue;

namespace JobLocks.InMemory.Locks;

/// <summary>Acquires locks for code and for runs, with an asynchronous and a blocking form of each wait. Thread-safe.</summary>
internal sealed class MemoryAcquisition(MemoryDispatcher dispatcher, JobLocksOptions options, TimeProvider clock)
{
    /// <summary>The holder that is shown for code that acquires a lock by hand.</summary>
    public Holder ByHand { get; } = new() { Run = "code that took it by hand", Application = options.ApplicationName };

    public static LockMode Defined(LockMode mode) =>
        Enum.IsDefined(mode) ? mode : throw new ArgumentOutOfRangeException(nameof(mode), mode, $"Use one of {string.Join(", ", Enum.GetNames<LockMode>())}.");

    public LockRequest RequestFor(string name, LockMode mode = LockMode.Exclusive)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(name);

        var scoped = LockScope.Apply(options.Scope, name);
        return new(scoped, LockKey.Of(scoped), Defined(mode));
    }

    public LockRequest[] RequestsFor(IEnumerable<string> names)
    {
        ArgumentNullException.ThrowIfNull(names);

        LockRequest[] requests = [.. names.Select(name => RequestFor(name))];
        return requests.Length > 0 ? requests : throw new ArgumentException("There is no name to take the lock of.", nameof(names));
    }

    public JobLockHandle? TryAcquireOne(LockRequest request, CancellationToken stop) => TryAcquireSet([request], ByHand, entry: null, stop).Handles is [var handle] ? handle : null;

    /// <summary>Acquires all requested locks, each key once, or none of them.</summary>
    public AcquireResult TryAcquireSet(IReadOnlyList<LockRequest> requests, Holder run, QueueEntry? entry, CancellationToken stop)
    {
        stop.ThrowIfCancellationRequested();
        LockRequest[] inOrder = [.. requests.DistinctBy(static request => request.Key).OrderBy(static request => request.Key.Value)];
        var holder = run with { Application = options.ApplicationName };
        var (grants, refused, isRefusedForQueue) = dispatcher.TryAcquire(inOrder, holder, entry, StackOf(holder));
        if (refused is not null) return new([], refused, isRefusedForQueue);

        var byKey = grants.ToDictionary(static grant => grant.NameKey);
        return new(JobLockHandle.Of([.. requests.DistinctBy(static request => request.Key).Select(request => byKey[request.Key])]), null);
    }

    public async Task<JobLockHandle> AcquireOneAsync(LockRequest request, TimeSpan timeout, CancellationToken stop)
    {
        var waiter = Enter(request, timeout, stop);
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
            throw TimedOut(request, timeout);
        }
    }

    public JobLockHandle AcquireOne(LockRequest request, TimeSpan timeout, CancellationToken stop)
    {
        var waiter = Enter(request, timeout, stop);
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
        throw TimedOut(request, timeout);
    }

    public Holder? FindHolder(LockRequest request) => dispatcher.Read(() => dispatcher.Locks.FindHolder(request));

    private MemoryWaiter Enter(LockRequest request, TimeSpan timeout, CancellationToken stop)
    {
        if ((timeout < TimeSpan.Zero && timeout != Timeout.InfiniteTimeSpan) || timeout.TotalMilliseconds > int.MaxValue)
            throw new ArgumentOutOfRangeException(nameof(timeout), timeout, "A lock can be waited for from zero to 24 days. Use Timeout.InfiniteTimeSpan to wait without limit.");

        stop.ThrowIfCancellationRequested();
        var waiter = new MemoryWaiter(request, ByHand, StackOf(ByHand));
        dispatcher.Enter(waiter);
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

    /// <summary>The stack of the caller. For a run of a scheduler there is none: the name of the run says more.</summary>
    private StackTrace? StackOf(Holder run) => options.CaptureStackOnAcquire && string.Equals(run.Run, ByHand.Run, StringComparison.Ordinal) ? new(fNeedFileInfo: true) : null;

    private TimeoutException TimedOut(LockRequest request, TimeSpan timeout) => new(
        $"{request} was not free within {timeout.TotalSeconds.ToString("0.###", CultureInfo.InvariantCulture)} s. "
        + $"It is held by {FindHolder(request)?.ToString() ?? "a holder that has released it meanwhile"}.");
}
