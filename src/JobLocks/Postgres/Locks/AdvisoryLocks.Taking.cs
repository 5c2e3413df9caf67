using System.Diagnostics;
using System.Globalization;
using JobLocks.Diagnostics;
using JobLocks.Gate;
using JobLocks.Inspection;
using JobLocks.Locks;
using JobLocks.Naming;
using JobLocks.Postgres.Locks;
using JobLocks.Postgres.Session;
using JobLocks.Primitives;
using JobLocks.WaitQueue;
using Npgsql;

namespace JobLocks;

/// <content>How the public members and the gate acquire locks.</content>
public sealed partial class AdvisoryLocks : ILockKeeper
{
    string? ILockKeeper.Scope => _options.Scope;

    bool ILockKeeper.IsClosed => _dispatcher.IsClosed;

    string ILockKeeper.CauseOf(Exception error) =>
        error is PostgresException locked && SessionConnection.IsLocked(locked) ? "Another session has locked what the wait queue needs." : error.Message;

    IWaitQueue ILockKeeper.WaitQueue => _waitQueue;

    IPageInspector ILockKeeper.Inspection => Inspection;

    LockMeter ILockKeeper.Meter => _dispatcher.Meter;

    LockTraces ILockKeeper.Traces => _traces;

    StatisticsCounter ILockKeeper.Ledger => _dispatcher.Ledger;

    private static readonly TimeSpan LongestHolderLookup = TimeSpan.FromSeconds(1);

    private Holder ByHand { get; }

    /// <summary>The server and database, without secrets.</summary>
    internal string Server => _dispatcher.Server;

    /// <summary>The number of locks that this process holds.</summary>
    internal int CountHeld => _dispatcher.HeldSince(DateTimeOffset.MaxValue).Count;

    /// <summary>
    /// The first part of the schema that cannot be used, as the end of a sentence; null if everything can be used or no schema is configured.
    /// </summary>
    internal string? Lacks => _options.Schema is not { } schema ? null
        : _schemaWatch.Problem is { } trouble ? trouble
        : _dispatcher.IsWaitQueueSuspended ? $"no run can wait in line for now: somebody has the table {schema}.line to himself, or waits for that."
        : _dispatcher.HasWaitQueue == false ? $"no run can wait in line: this role may not use {schema}.line. See the GRANT lines in docs/schema.sql."
        : !_dispatcher.HasFence ? $"handles have no fencing tokens: this role may not use {schema}.fence. See the GRANT lines in docs/schema.sql."
        : !_dispatcher.HasReadModel ? $"nobody sees who holds what: this role may not use {schema}.held. See the GRANT lines in docs/schema.sql."
        : !_dispatcher.HasLimits ? $"processes that declare different limits of one name are not noticed: this role lacks a right. GRANT SELECT, INSERT, UPDATE ON {schema}.limits TO it, see docs/schema.sql."
        : _internalLocks.Holders is [var holder, ..] ? $"a program that is not JobLocks holds a lock that JobLocks needs for its own work. {holder}"
        : _wakeDispatcher.IsBroken ? "waiting runs cannot be woken for now. They start when this is over. See warning 401 for the cause."
        : _readModelWriter.IsBroken ? $"it cannot be written down for now who holds what and what happened. See warning 601, whether another session has {schema}.sessions, held, names or minutes locked, and the GRANT lines in docs/schema.sql."
        : null;

    /// <summary>Opens the session if none is open, and waits for an answer of the server on it.</summary>
    /// <exception cref="JobLocksUnavailableException">The session cannot be opened, or it broke.</exception>
    internal Task ProveAsync(CancellationToken stop) => _dispatcher.AskAsync(static _ => true).WaitAsync(stop);

    ValueTask<AcquireResult> ILockKeeper.TryAcquireAllAsync(IReadOnlyList<LockRequest> requests, Holder run, QueueEntry? entry, bool blocks, CancellationToken stop) =>
        blocks ? new(TryAcquireSetBlocking(requests, run, entry, stop)) : new(TryAcquireSetAsync(requests, run, entry, stop));

    ValueTask<Holder?> ILockKeeper.FindHolderAsync(LockRequest request, bool blocks, CancellationToken stop)
    {
        var lookup = FindHolderAsync(request);
        if (!blocks) return new(lookup.WaitAsync(stop));

        Blocking.TryWait(lookup, Timeout.InfiniteTimeSpan, stop);
        return new(Blocking.Wait(lookup));
    }

    private static LockMode Defined(LockMode mode) =>
        Enum.IsDefined(mode) ? mode : throw new ArgumentOutOfRangeException(nameof(mode), mode, $"Use one of {string.Join(", ", Enum.GetNames<LockMode>())}.");

    /// <summary>Sorted by key, which is the same order in all processes, and each key once.</summary>
    private static IReadOnlyList<LockRequest> OrderedByKey(IReadOnlyList<LockRequest> requests) =>
        requests.Count == 1 ? requests : [.. requests.DistinctBy(static request => request.Key).OrderBy(static request => request.Key.Value)];

    private static AcquireResult Result(AcquireRequest acquireRequest, IReadOnlyList<LockRequest> requests, int answer)
    {
        if (answer != AcquireRequest.Granted) return new([], acquireRequest.Requests[answer], acquireRequest.WasRefusedForQueue);
        if (acquireRequest.Requests.Count == 1) return new([new(acquireRequest.Grants[0]!)], null);

        var byKey = acquireRequest.Requests.Zip(acquireRequest.Grants).ToDictionary(static granted => granted.First.Key, static granted => granted.Second!);
        return new(JobLockHandle.Of([.. requests.DistinctBy(static request => request.Key).Select(request => byKey[request.Key])]), null);
    }

    private LockRequest RequestFor(string name, LockMode mode = LockMode.Exclusive)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(name);

        var scoped = LockScope.Apply(_options.Scope, name);
        return new(scoped, LockKey.Of(scoped), Defined(mode));
    }

    private LockRequest[] RequestsFor(IEnumerable<string> names)
    {
        ArgumentNullException.ThrowIfNull(names);

        LockRequest[] requests = [.. names.Select(name => RequestFor(name))];
        return requests.Length > 0 ? requests : throw new ArgumentException("There is no name to take the lock of.", nameof(names));
    }

    private Holder WithApplicationName(Holder run) => run with { Application = _options.ApplicationName };

    private AcquireRequest Enter(IReadOnlyList<LockRequest> requests, Holder run, bool waits, CancellationToken stop, QueueEntry? entry = null)
    {
        stop.ThrowIfCancellationRequested();
        var precedence = waits ? QueuePrecedence.DrawsPosition : entry?.Place ?? QueuePrecedence.Newcomer;
        return _dispatcher.Enter(OrderedByKey(requests), run, waits, precedence, entry is { IsWoken: true } ? entry.Key : null, StackOf(run), mayBlock: !waits);
    }

    /// <summary>The stack of the caller. For a run of a scheduler there is none: the name of the run says more.</summary>
    private StackTrace? StackOf(Holder run) => _options.CaptureStackOnAcquire && string.Equals(run.Run, ByHand.Run, StringComparison.Ordinal) ? new(fNeedFileInfo: true) : null;

    private async Task<JobLockHandle?> TryAcquireOneAsync(LockRequest request, CancellationToken stop)
    {
        var acquireRequest = Enter([request], ByHand, waits: false, stop);
        try
        {
            await acquireRequest.Answer.WaitAsync(stop).ConfigureAwait(false);
            return acquireRequest.Grants[0] is { } grant ? new(grant) : null;
        }
        catch (OperationCanceledException)
        {
            _dispatcher.Abandon(acquireRequest);
            throw;
        }
    }

    private JobLockHandle? TryAcquireOne(LockRequest request, CancellationToken stop) =>
        TryAcquireSetBlocking([request], ByHand, entry: null, stop).Handles is [var handle] ? handle : null;

    private async Task<AcquireResult> TryAcquireSetAsync(IReadOnlyList<LockRequest> requests, Holder run, QueueEntry? entry, CancellationToken stop)
    {
        var acquireRequest = Enter(requests, WithApplicationName(run), waits: false, stop, entry);
        try
        {
            return Result(acquireRequest, requests, await acquireRequest.Answer.WaitAsync(stop).ConfigureAwait(false));
        }
        catch (OperationCanceledException)
        {
            _dispatcher.Abandon(acquireRequest);
            throw;
        }
    }

    private AcquireResult TryAcquireSetBlocking(IReadOnlyList<LockRequest> requests, Holder run, QueueEntry? entry, CancellationToken stop)
    {
        var acquireRequest = Enter(requests, WithApplicationName(run), waits: false, stop, entry);
        try
        {
            Blocking.TryWait(acquireRequest.Answer, Timeout.InfiniteTimeSpan, stop);
            return Result(acquireRequest, requests, Blocking.Wait(acquireRequest.Answer));
        }
        catch (OperationCanceledException)
        {
            _dispatcher.Abandon(acquireRequest);
            throw;
        }
    }

    private async Task<JobLockHandle> AcquireOneAsync(LockRequest request, TimeSpan timeout, CancellationToken stop)
    {
        CheckTimeout(timeout);

        var acquireRequest = Enter([request], ByHand, waits: true, stop);
        try
        {
            await acquireRequest.Answer.WaitAsync(timeout, _clock, stop).ConfigureAwait(false);
            return new(acquireRequest.Grants[0]!);
        }
        catch (OperationCanceledException)
        {
            _dispatcher.Abandon(acquireRequest);
            throw;
        }
        catch (TimeoutException)
        {
            _dispatcher.Abandon(acquireRequest);
            var lookup = FindHolderOrNullAsync(request);
            await ((Task)lookup).WaitAsync(LongestHolderLookup, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            stop.ThrowIfCancellationRequested();
            throw TimedOut(request, timeout, lookup.IsCompletedSuccessfully ? await lookup.ConfigureAwait(false) : null);
        }
    }

    private JobLockHandle AcquireOne(LockRequest request, TimeSpan timeout, CancellationToken stop)
    {
        CheckTimeout(timeout);

        var acquireRequest = Enter([request], ByHand, waits: true, stop);
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
            _dispatcher.Abandon(acquireRequest);
            throw;
        }

        _dispatcher.Abandon(acquireRequest);
        var lookup = FindHolderOrNullAsync(request);
        throw TimedOut(request, timeout, Blocking.TryWait(lookup, LongestHolderLookup, stop) && lookup.IsCompletedSuccessfully ? Blocking.Wait(lookup) : null);
    }

    private Task<Holder?> FindHolderAsync(LockRequest request) =>
        _dispatcher.FindHolder(request.Slots) is { } local
            ? Task.FromResult<Holder?>(local)
            : _dispatcher.AskAsync(session => ResolveHolder(session.Prove(connection => ForeignHolder.Read(connection, request)), request));

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
    /// Replaces this process's own session by the run that was granted the lock meanwhile. A lost session of this process is not a holder for which a
    /// run should be skipped: no run works under its locks any more. The lock counts as unavailable until the server frees it.
    /// </summary>
    private Holder? ResolveHolder(Holder? holder, LockRequest request)
    {
        if (holder?.Backend is not { } backend) return holder;
        if (_dispatcher.IsCurrent(backend)) return _dispatcher.FindHolder(request.Slots);

        return _dispatcher.IsFormerBackend(backend)
            ? throw new JobLocksUnavailableException($"{request} is still with a lost session of this process (backend {backend}): the server lets go within {_options.LostAfter.TotalSeconds:0} s.")
            : holder;
    }

    private static void CheckTimeout(TimeSpan timeout)
    {
        if ((timeout < TimeSpan.Zero && timeout != Timeout.InfiniteTimeSpan) || timeout.TotalMilliseconds > int.MaxValue)
            throw new ArgumentOutOfRangeException(nameof(timeout), timeout, "A lock can be waited for from zero to 24 days. Use Timeout.InfiniteTimeSpan to wait without limit.");
    }

    private static TimeoutException TimedOut(LockRequest request, TimeSpan timeout, Holder? holder) => new(
        $"{request} was not free within {timeout.TotalSeconds.ToString("0.###", CultureInfo.InvariantCulture)} s. "
        + $"It is held by {holder?.ToString() ?? "somebody who has let go meanwhile"}.");
}
