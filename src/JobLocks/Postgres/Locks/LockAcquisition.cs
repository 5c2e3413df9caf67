using JobLocks.Gate;
using JobLocks.Locks;
using JobLocks.Primitives;
using JobLocks.WaitQueue;

namespace JobLocks.Postgres.Locks;

/// <summary>Acquires locks through the dispatcher, for code and for runs, with an asynchronous and a blocking form of each way. Thread-safe.</summary>
internal sealed class LockAcquisition(LockDispatcher dispatcher, ManualRequests manual, JobLocksOptions options, TimeProvider clock)
{
    private static readonly TimeSpan LongestHolderLookup = TimeSpan.FromSeconds(1);

    /// <summary>Sorted by key, which is the same order in all processes, and each key once.</summary>
    private static IReadOnlyList<LockRequest> OrderedByKey(IReadOnlyList<LockRequest> requests) =>
        requests.Count == 1 ? requests : [.. requests.DistinctBy(static request => request.Key).OrderBy(static request => request.Key.Value)];

    private static AcquireResult Result(AcquireRequest acquireRequest, IReadOnlyList<LockRequest> requests, int answer)
    {
        if (answer != AcquireRequest.Granted) return new([], acquireRequest.Requests[answer], acquireRequest.IsRefusedForQueue);
        if (acquireRequest.Requests.Count == 1) return new([new(acquireRequest.Grants[0]!)], null);

        var byKey = acquireRequest.Requests.Zip(acquireRequest.Grants).ToDictionary(static granted => granted.First.Key, static granted => granted.Second!);
        return new(JobLockHandle.Of([.. requests.DistinctBy(static request => request.Key).Select(request => byKey[request.Key])]), null);
    }

    private Holder WithApplicationName(Holder run) => run with { Application = options.ApplicationName };

    private AcquireRequest AddRequest(IReadOnlyList<LockRequest> requests, Holder run, bool waits, CancellationToken stop, QueueEntry? entry = null)
    {
        stop.ThrowIfCancellationRequested();
        var precedence = waits ? EntryLimit.DrawsEntryNumber : entry?.Number ?? EntryLimit.Newcomer;
        return dispatcher.AddRequest(OrderedByKey(requests), run, waits, precedence, entry, manual.StackOf(run), mayBlock: !waits);
    }

    public async Task<JobLockHandle?> TryAcquireOneAsync(LockRequest request, CancellationToken stop)
    {
        var acquireRequest = AddRequest([request], manual.Caller, waits: false, stop);
        try
        {
            await acquireRequest.Answer.WaitAsync(stop).ConfigureAwait(false);
            return acquireRequest.Grants[0] is { } grant ? new(grant) : null;
        }
        catch (OperationCanceledException)
        {
            dispatcher.Abandon(acquireRequest);
            throw;
        }
    }

    public JobLockHandle? TryAcquireOne(LockRequest request, CancellationToken stop) =>
        TryAcquireSetBlocking([request], manual.Caller, entry: null, stop).Handles is [var handle] ? handle : null;

    public async Task<AcquireResult> TryAcquireSetAsync(IReadOnlyList<LockRequest> requests, Holder run, QueueEntry? entry, CancellationToken stop)
    {
        var acquireRequest = AddRequest(requests, WithApplicationName(run), waits: false, stop, entry);
        try
        {
            return Result(acquireRequest, requests, await acquireRequest.Answer.WaitAsync(stop).ConfigureAwait(false));
        }
        catch (OperationCanceledException)
        {
            dispatcher.Abandon(acquireRequest);
            throw;
        }
    }

    public AcquireResult TryAcquireSetBlocking(IReadOnlyList<LockRequest> requests, Holder run, QueueEntry? entry, CancellationToken stop)
    {
        var acquireRequest = AddRequest(requests, WithApplicationName(run), waits: false, stop, entry);
        try
        {
            Blocking.TryWait(acquireRequest.Answer, Timeout.InfiniteTimeSpan, stop);
            return Result(acquireRequest, requests, Blocking.Wait(acquireRequest.Answer));
        }
        catch (OperationCanceledException)
        {
            dispatcher.Abandon(acquireRequest);
            throw;
        }
    }

    public async Task<JobLockHandle> AcquireOneAsync(LockRequest request, TimeSpan timeout, CancellationToken stop)
    {
        ManualRequests.CheckTimeout(timeout);

        var acquireRequest = AddRequest([request], manual.Caller, waits: true, stop);
        try
        {
            await acquireRequest.Answer.WaitAsync(timeout, clock, stop).ConfigureAwait(false);
            return new(acquireRequest.Grants[0]!);
        }
        catch (OperationCanceledException)
        {
            dispatcher.Abandon(acquireRequest);
            throw;
        }
        catch (TimeoutException)
        {
            dispatcher.Abandon(acquireRequest);
            var lookup = FindHolderOrNullAsync(request);
            await ((Task)lookup).WaitAsync(LongestHolderLookup, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            stop.ThrowIfCancellationRequested();
            throw ManualRequests.TimedOut(request, timeout, lookup.IsCompletedSuccessfully ? await lookup.ConfigureAwait(false) : null);
        }
    }

    public JobLockHandle AcquireOne(LockRequest request, TimeSpan timeout, CancellationToken stop)
    {
        ManualRequests.CheckTimeout(timeout);

        var acquireRequest = AddRequest([request], manual.Caller, waits: true, stop);
        try
        {
            if (Blocking.TryWait(acquireRequest.Answer, timeout, stop))
            {
                Blocking.Wait(acquireRequest.Answer);
                return new(acquireRequest.Grants[0]!);
            }
        }
        catch (OperationCanceledException)
        {
            dispatcher.Abandon(acquireRequest);
            throw;
        }

        dispatcher.Abandon(acquireRequest);
        var lookup = FindHolderOrNullAsync(request);
        throw ManualRequests.TimedOut(request, timeout, Blocking.TryWait(lookup, LongestHolderLookup, stop) && lookup.IsCompletedSuccessfully ? Blocking.Wait(lookup) : null);
    }

    public Task<Holder?> FindHolderAsync(LockRequest request) =>
        dispatcher.FindHolder(request.Slots) is { } local
            ? Task.FromResult<Holder?>(local)
            : dispatcher.QueryAsync(session => ResolveHolder(session.Prove(connection => HolderOnServer.Read(connection, request)), request));

    private Task<Holder?> FindHolderOrNullAsync(LockRequest request)
    {
        try
        {
            return FindHolderAsync(request);
        }
        catch (Exception unavailable) when (unavailable is JobLocksUnavailableException or ObjectDisposedException)
        {
            return Task.FromResult<Holder?>(null);
        }
    }

    /// <summary>
    /// Replaces this process's own session by the run that was granted the lock meanwhile. If a lost session of this process still holds the lock on the
    /// server, the lock counts as unavailable until the server frees it. A run must not be skipped for it: no run works under that lock.
    /// </summary>
    private Holder? ResolveHolder(Holder? holder, LockRequest request)
    {
        if (holder?.Backend is not { } backend) return holder;
        if (dispatcher.Sessions.IsCurrent(backend)) return dispatcher.FindHolder(request.Slots);

        return dispatcher.Sessions.IsFormer(backend)
            ? throw new JobLocksUnavailableException($"{request} is still held by a lost session of this process (backend {backend}): the server releases it within {options.LostAfter.TotalSeconds:0} s.")
            : holder;
    }
}
