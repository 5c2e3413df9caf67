using JobLocks.Diagnostics;
using JobLocks.Naming;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace JobLocks.Gate;

/// <summary>Where a run asks to enter. The only place that decides. Thread-safe.</summary>
internal sealed class JobGate(ILockKeeper locks, ILogger<JobGate> log)
{
    /// <summary>For those who carry out what is decided here.</summary>
    public ILoggerFactory Loggers { get; private init; } = NullLoggerFactory.Instance;

    /// <summary>The gate to locks that were made without a container.</summary>
    /// <exception cref="ArgumentException">The locks are none of ours.</exception>
    public static JobGate To(IJobLocks locks, ILoggerFactory? loggers = null)
    {
        ArgumentNullException.ThrowIfNull(locks);

        return locks is ILockKeeper keeper
            ? new(keeper, (loggers ?? NullLoggerFactory.Instance).CreateLogger<JobGate>()) { Loggers = loggers ?? NullLoggerFactory.Instance }
            : throw new ArgumentException($"A {locks.GetType().Name} cannot lock runs. Use {nameof(AdvisoryLocks)}.{nameof(AdvisoryLocks.Connect)}(connectionString).", nameof(locks));
    }

    /// <summary>Takes all locks of a run or none of them.</summary>
    /// <exception cref="JobLockRuleException">A lock name cannot be made for this run: it must fail, never run.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="stop"/> was cancelled. Nothing is held.</exception>
    public async Task<Admission> TryEnterAsync(JobCall call, CancellationToken stop)
    {
        var requests = LockRequest.AllOf(call, locks.Scope);
        try
        {
            for (var isLastTry = false; ; isLastTry = true)
            {
                var taken = await locks.TryTakeAllAsync(WishesOf(requests), HolderOf(call), stop).ConfigureAwait(false);
                if (taken.Refused is not { } refused) return Admit(call, requests, taken);

                var holder = await locks.FindHolderAsync(refused, stop).ConfigureAwait(false);
                if (holder is not null || isLastTry) return Refuse(call, RequestFor(refused, requests), holder);
            }
        }
        catch (Exception unavailable) when (IsNoAnswer(unavailable, stop))
        {
            return Keep(call, requests[0], unavailable);
        }
    }

    /// <summary>The same for a scheduler without an asynchronous way: needs no thread but the caller's and the session's.</summary>
    /// <exception cref="JobLockRuleException">A lock name cannot be made for this run: it must fail, never run.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="stop"/> was cancelled. Nothing is held.</exception>
    public Admission TryEnter(JobCall call, CancellationToken stop)
    {
        var requests = LockRequest.AllOf(call, locks.Scope);
        try
        {
            for (var isLastTry = false; ; isLastTry = true)
            {
                var taken = locks.TryTakeAll(WishesOf(requests), HolderOf(call), stop);
                if (taken.Refused is not { } refused) return Admit(call, requests, taken);

                var holder = locks.FindHolder(refused, stop);
                if (holder is not null || isLastTry) return Refuse(call, RequestFor(refused, requests), holder);
            }
        }
        catch (Exception unavailable) when (IsNoAnswer(unavailable, stop))
        {
            return Keep(call, requests[0], unavailable);
        }
    }

    private static IReadOnlyList<LockWish> WishesOf(IReadOnlyList<LockRequest> requests) => [.. requests.Select(static request => request.Wish)];

    private static Holder HolderOf(JobCall call) => new() { Run = RunOf(call) };

    private static LockRequest RequestFor(LockWish refused, IReadOnlyList<LockRequest> requests) => requests.First(request => request.Key == refused.Key);

    private static bool IsNoAnswer(Exception thrown, CancellationToken stop) => thrown is not JobLockRuleException && !stop.IsCancellationRequested;

    private Admission.Admitted Admit(JobCall call, IReadOnlyList<LockRequest> requests, Taken taken)
    {
        foreach (var request in requests) log.Admitted(call.JobId, request.Name, request.Key.Value);
        return new(taken.Handles);
    }

    private Admission.Refused Refuse(JobCall call, LockRequest request, Holder? holder)
    {
        var conflict = $"{Shortened(request.Name)} is held by {holder?.ToString() ?? "another run, which has let go meanwhile"}";
        var what = request.Rule.OnConflict;
        var retryAfter = request.Rule.RetryAfter;

        // Work that has begun once is owed: ending it now would drop it, or abort the very run that it is a second copy of.
        // Where nobody holds the lock any more, perhaps nobody ran: the holder may have been asking for it in vain itself.
        var owed = what != OnConflict.Reschedule && (holder is null || string.Equals(holder?.Run, RunOf(call), StringComparison.Ordinal) || WasStartedBefore(call));
        if (owed) what = OnConflict.Reschedule;

        var reason = what switch
        {
            OnConflict.Skip => $"Skipped: {conflict}",
            OnConflict.Fail => $"Failed: {conflict}",
            _ when owed && holder is not null => $"Rescheduled, since it had been started before: {conflict}; next try in {retryAfter.TotalSeconds:0} s",
            _ => $"Rescheduled: {conflict}; next try in {retryAfter.TotalSeconds:0} s",
        };

        log.Refused(call.JobId, request.Name, request.Key.Value, reason);
        return new(what, reason, retryAfter);
    }

    /// <summary>A store that gives no answer counts as a yes: a run that is put off is not lost.</summary>
    private bool WasStartedBefore(JobCall call)
    {
        try
        {
            return call.WasStartedBefore();
        }
        catch (Exception unknown)
        {
            log.UnknownPast(call.JobId, unknown);
            return true;
        }
    }

    private static string RunOf(JobCall call) => $"{call.Scheduler} job {call.JobId}";

    /// <summary>No lock, no run; and no answer is no reason to drop the run.</summary>
    private Admission.Refused Keep(JobCall call, LockRequest request, Exception unavailable)
    {
        var retryAfter = request.Rule.RetryAfter;
        log.Unavailable(call.JobId, request.Name, unavailable);
        return new(
            OnConflict.Reschedule,
            $"Rescheduled: {Shortened(request.Name)} could not be asked for. {unavailable.Message} Next try in {retryAfter.TotalSeconds:0} s",
            retryAfter);
    }

    /// <summary>A reason is read by a person and kept in a store: a name of ten thousand characters serves neither.</summary>
    public static string Shortened(string name) => name.Length <= 200 ? name : $"{name[..150]}… ({name.Length} characters)";
}
