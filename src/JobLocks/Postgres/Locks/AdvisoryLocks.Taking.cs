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

/// <content>How each of the public members takes its locks, and how the gate does.</content>
public sealed partial class AdvisoryLocks : ILockKeeper
{
    string? ILockKeeper.Scope => _options.Scope;

    bool ILockKeeper.IsClosed => _dispatcher.IsClosed;

    string ILockKeeper.CauseOf(Exception error) =>
        error is PostgresException locked && SessionConnection.IsLocked(locked) ? "Another session has locked what the wait queue needs." : error.Message;

    IWaitQueue ILockKeeper.WaitQueue => _line;

    IPageInspector ILockKeeper.Inspection => Inspection;

    LockMeter ILockKeeper.Meter => _dispatcher.Meter;

    LockTraces ILockKeeper.Traces => _traces;

    StatisticsCounter ILockKeeper.Ledger => _dispatcher.Ledger;

    private static readonly TimeSpan LongestLook = TimeSpan.FromSeconds(1);

    private Holder ByHand { get; }

    /// <summary>Where the locks are, without secrets.</summary>
    internal string Server => _dispatcher.Server;

    /// <summary>How many locks this process has.</summary>
    internal int CountHeld => _dispatcher.HeldSince(DateTimeOffset.MaxValue).Count;

    /// <summary>What cannot be used of the schema that it was told to use, as the end of a sentence; null for nothing.</summary>
    internal string? Lacks => _options.Schema is not { } schema ? null
        : _schema.Trouble is { } trouble ? trouble
        : _dispatcher.IsLineAside ? $"no run can wait in line for now: somebody has the table {schema}.line to himself, or waits for that."
        : _dispatcher.HasWaitQueue == false ? $"no run can wait in line: this role may not use {schema}.line. See the GRANT lines in docs/schema.sql."
        : !_dispatcher.HasFence ? $"handles have no fencing tokens: this role may not use {schema}.fence. See the GRANT lines in docs/schema.sql."
        : !_dispatcher.HasReadModel ? $"nobody sees who holds what: this role may not use {schema}.held. See the GRANT lines in docs/schema.sql."
        : !_dispatcher.HasLimits ? $"processes that declare different limits of one name are not noticed: this role lacks a right. GRANT SELECT, INSERT, UPDATE ON {schema}.limits TO it, see docs/schema.sql."
        : _internalLocks.Holders is [var holder, ..] ? $"a program that is not JobLocks holds a lock that JobLocks needs for its own work. {holder}"
        : _watch.IsBroken ? "waiting runs cannot be woken for now. They start when this is over. See warning 401 for the cause."
        : _ledger.IsBroken ? $"it cannot be written down for now who holds what and what happened. See warning 601, whether another session has {schema}.sessions, held, names or minutes locked, and the GRANT lines in docs/schema.sql."
        : null;

    /// <summary>Opens the session where there is none, and has the server answer on it.</summary>
    /// <exception cref="JobLocksUnavailableException">It does not.</exception>
    internal Task ProveAsync(CancellationToken stop) => _dispatcher.AskAsync(static _ => true).WaitAsync(stop);

    ValueTask<AcquireResult> ILockKeeper.TryTakeAllAsync(IReadOnlyList<LockRequest> requests, Holder run, QueueEntry? place, bool blocks, CancellationToken stop) =>
        blocks ? new(TryTakeAll(requests, run, place, stop)) : new(TryTakeAllAsync(requests, run, place, stop));

    ValueTask<Holder?> ILockKeeper.FindHolderAsync(LockRequest request, bool blocks, CancellationToken stop)
    {
        var asked = FindHolderAsync(request);
        if (!blocks) return new(asked.WaitAsync(stop));

        Blocking.TryWait(asked, Timeout.InfiniteTimeSpan, stop);
        return new(Blocking.Wait(asked));
    }

    private static LockMode Defined(LockMode mode) =>
        Enum.IsDefined(mode) ? mode : throw new ArgumentOutOfRangeException(nameof(mode), mode, $"Use one of {string.Join(", ", Enum.GetNames<LockMode>())}.");

    /// <summary>By key, the same order for everybody, and each key once.</summary>
    private static IReadOnlyList<LockRequest> InOrder(IReadOnlyList<LockRequest> requests) =>
        requests.Count == 1 ? requests : [.. requests.DistinctBy(static request => request.Key).OrderBy(static request => request.Key.Value)];

    private static AcquireResult Result(AcquireRequest acquire, IReadOnlyList<LockRequest> requests, int answer)
    {
        if (answer != AcquireRequest.Granted) return new([], acquire.Requests[answer], acquire.IsBehind);
        if (acquire.Requests.Count == 1) return new([new(acquire.Grants[0]!)], null);

        var byKey = acquire.Requests.Zip(acquire.Grants).ToDictionary(static granted => granted.First.Key, static granted => granted.Second!);
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

    private Holder Named(Holder run) => run with { Application = _options.ApplicationName };

    private AcquireRequest Enter(IReadOnlyList<LockRequest> requests, Holder run, bool waits, CancellationToken stop, QueueEntry? place = null)
    {
        stop.ThrowIfCancellationRequested();
        return _dispatcher.Enter(InOrder(requests), run, waits, waits ? QueuePrecedence.DrawsPlace : place?.Place ?? QueuePrecedence.Newcomer, place is { IsWoken: true } ? place.Key : null, StackOf(run), mayBlock: !waits);
    }

    /// <summary>Of a run of a scheduler, its name says more.</summary>
    private StackTrace? StackOf(Holder run) => _options.CaptureStackOnAcquire && string.Equals(run.Run, ByHand.Run, StringComparison.Ordinal) ? new(fNeedFileInfo: true) : null;

    private async Task<JobLockHandle?> TryTakeAsync(LockRequest request, CancellationToken stop)
    {
        var acquire = Enter([request], ByHand, waits: false, stop);
        try
        {
            await acquire.Answer.WaitAsync(stop).ConfigureAwait(false);
            return acquire.Grants[0] is { } grant ? new(grant) : null;
        }
        catch (OperationCanceledException)
        {
            _dispatcher.Abandon(acquire);
            throw;
        }
    }

    private JobLockHandle? TryTake(LockRequest request, CancellationToken stop) => TryTakeAll([request], ByHand, place: null, stop).Handles is [var handle] ? handle : null;

    private async Task<AcquireResult> TryTakeAllAsync(IReadOnlyList<LockRequest> requests, Holder run, QueueEntry? place, CancellationToken stop)
    {
        var acquire = Enter(requests, Named(run), waits: false, stop, place);
        try
        {
            return Result(acquire, requests, await acquire.Answer.WaitAsync(stop).ConfigureAwait(false));
        }
        catch (OperationCanceledException)
        {
            _dispatcher.Abandon(acquire);
            throw;
        }
    }

    private AcquireResult TryTakeAll(IReadOnlyList<LockRequest> requests, Holder run, QueueEntry? place, CancellationToken stop)
    {
        var acquire = Enter(requests, Named(run), waits: false, stop, place);
        try
        {
            Blocking.TryWait(acquire.Answer, Timeout.InfiniteTimeSpan, stop);
            return Result(acquire, requests, Blocking.Wait(acquire.Answer));
        }
        catch (OperationCanceledException)
        {
            _dispatcher.Abandon(acquire);
            throw;
        }
    }

    private async Task<JobLockHandle> TakeAsync(LockRequest request, TimeSpan timeout, CancellationToken stop)
    {
        CheckTimeout(timeout);

        var acquire = Enter([request], ByHand, waits: true, stop);
        try
        {
            await acquire.Answer.WaitAsync(timeout, _clock, stop).ConfigureAwait(false);
            return new(acquire.Grants[0]!);
        }
        catch (OperationCanceledException)
        {
            _dispatcher.Abandon(acquire);
            throw;
        }
        catch (TimeoutException)
        {
            _dispatcher.Abandon(acquire);
            var asked = FindHolderOrNobodyAsync(request);
            await ((Task)asked).WaitAsync(LongestLook, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            stop.ThrowIfCancellationRequested();
            throw TooLate(request, timeout, asked.IsCompletedSuccessfully ? await asked.ConfigureAwait(false) : null);
        }
    }

    private JobLockHandle Take(LockRequest request, TimeSpan timeout, CancellationToken stop)
    {
        CheckTimeout(timeout);

        var acquire = Enter([request], ByHand, waits: true, stop);
        try
        {
            if (Blocking.TryWait(acquire.Answer, timeout, stop))
            {
                Blocking.Wait(acquire.Answer);
                return new(acquire.Grants[0]!);
            }
        }
        catch (OperationCanceledException)
        {
            _dispatcher.Abandon(acquire);
            throw;
        }

        _dispatcher.Abandon(acquire);
        var asked = FindHolderOrNobodyAsync(request);
        throw TooLate(request, timeout, Blocking.TryWait(asked, LongestLook, stop) && asked.IsCompletedSuccessfully ? Blocking.Wait(asked) : null);
    }

    private Task<Holder?> FindHolderAsync(LockRequest request) =>
        _dispatcher.FindHolder(request.Slots) is { } here ? Task.FromResult<Holder?>(here) : _dispatcher.AskAsync(session => StillWorking(session.Prove(connection => ForeignHolder.Read(connection, request)), request));

    private Task<Holder?> FindHolderOrNobodyAsync(LockRequest request)
    {
        try
        {
            return FindHolderAsync(request);
        }
        catch (Exception away) when (away is JobLocksUnavailableException or ObjectDisposedException)
        {
            return Task.FromResult<Holder?>(null);
        }
    }

    /// <summary>
    /// Our own session holds what a run here was granted meanwhile, and that run is named. A lost one of ours is no holder for whom a run
    /// would have to be dropped: nobody works for it any more.
    /// </summary>
    private Holder? StillWorking(Holder? holder, LockRequest request)
    {
        if (holder?.Backend is not { } backend) return holder;
        if (_dispatcher.IsCurrent(backend)) return _dispatcher.FindHolder(request.Slots);

        return _dispatcher.IsPast(backend)
            ? throw new JobLocksUnavailableException($"{request} is still with a lost session of this process (backend {backend}): the server lets go within {_options.LostAfter.TotalSeconds:0} s.")
            : holder;
    }

    private static void CheckTimeout(TimeSpan timeout)
    {
        if ((timeout < TimeSpan.Zero && timeout != Timeout.InfiniteTimeSpan) || timeout.TotalMilliseconds > int.MaxValue)
            throw new ArgumentOutOfRangeException(nameof(timeout), timeout, "A lock can be waited for from zero to 24 days. Use Timeout.InfiniteTimeSpan to wait without limit.");
    }

    private static TimeoutException TooLate(LockRequest request, TimeSpan timeout, Holder? holder) => new(
        $"{request} was not free within {timeout.TotalSeconds.ToString("0.###", CultureInfo.InvariantCulture)} s. "
        + $"It is held by {holder?.ToString() ?? "somebody who has let go meanwhile"}.");
}
