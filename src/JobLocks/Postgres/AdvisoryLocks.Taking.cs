using System.Diagnostics;
using System.Globalization;
using JobLocks.Diagnostics;
using JobLocks.Gate;
using JobLocks.Inspection;
using JobLocks.Line;
using JobLocks.Naming;
using JobLocks.Postgres;

namespace JobLocks;

/// <content>How each of the public members takes its locks, and how the gate does.</content>
public sealed partial class AdvisoryLocks : ILockKeeper
{
    string? ILockKeeper.Scope => _options.Scope;

    bool ILockKeeper.IsClosed => _desk.IsClosed;

    IWaitQueue ILockKeeper.Line => _line;

    IPageInspector ILockKeeper.Inspection => Inspection;

    LockMeter ILockKeeper.Meter => _desk.Meter;

    LockTraces ILockKeeper.Traces => _traces;

    RunLedger ILockKeeper.Ledger => _desk.Ledger;

    private static readonly TimeSpan LongestLook = TimeSpan.FromSeconds(1);

    private Holder ByHand { get; }

    /// <summary>Where the locks are, without secrets.</summary>
    internal string Server => _desk.Server;

    /// <summary>How many locks this process has.</summary>
    internal int CountHeld => _desk.HeldSince(DateTimeOffset.MaxValue).Count;

    /// <summary>What cannot be used of the schema that it was told to use, as the end of a sentence; null for nothing.</summary>
    internal string? Lacks => _options.Schema is not { } schema ? null
        : _schema.Trouble is { } trouble ? trouble
        : _desk.IsLineAside ? $"no run can wait in line for now: somebody has the table {schema}.line to himself, or waits for that."
        : _desk.HasLine == false ? $"no run can wait in line: this role may not use {schema}.line. See the GRANT lines in docs/schema.sql."
        : !_desk.HasFence ? $"handles have no fencing tokens: this role may not use {schema}.fence. See the GRANT lines in docs/schema.sql."
        : !_desk.HasLedger ? $"nobody sees who holds what: this role may not use {schema}.held. See the GRANT lines in docs/schema.sql."
        : _internalLocks.Holders is [var holder, ..] ? $"a program that is not JobLocks holds a lock that JobLocks needs for its own work. {holder}"
        : _watch.IsBroken ? "waiting runs cannot be woken for now. They start when this is over. See warning 401 for the cause."
        : _ledger.IsBroken ? $"it cannot be written down for now who holds what and what happened. See warning 601, whether another session has {schema}.sessions, held, names or minutes locked, and the GRANT lines in docs/schema.sql."
        : null;

    /// <summary>Opens the session where there is none, and has the server answer on it.</summary>
    /// <exception cref="JobLocksUnavailableException">It does not.</exception>
    internal Task ProveAsync(CancellationToken stop) => _desk.AskAsync(static _ => true).WaitAsync(stop);

    ValueTask<Taken> ILockKeeper.TryTakeAllAsync(IReadOnlyList<LockWish> wishes, Holder run, LinePlace? place, bool blocks, CancellationToken stop) =>
        blocks ? new(TryTakeAll(wishes, run, place, stop)) : new(TryTakeAllAsync(wishes, run, place, stop));

    ValueTask<Holder?> ILockKeeper.FindHolderAsync(LockWish wish, bool blocks, CancellationToken stop)
    {
        var asked = FindHolderAsync(wish);
        if (!blocks) return new(asked.WaitAsync(stop));

        Blocking.TryWait(asked, Timeout.InfiniteTimeSpan, stop);
        return new(Blocking.Wait(asked));
    }

    private static LockMode Defined(LockMode mode) =>
        Enum.IsDefined(mode) ? mode : throw new ArgumentOutOfRangeException(nameof(mode), mode, $"Use one of {string.Join(", ", Enum.GetNames<LockMode>())}.");

    /// <summary>By key, the same order for everybody, and each key once.</summary>
    private static IReadOnlyList<LockWish> InOrder(IReadOnlyList<LockWish> wishes) =>
        wishes.Count == 1 ? wishes : [.. wishes.DistinctBy(static wish => wish.Key).OrderBy(static wish => wish.Key.Value)];

    private static Taken Result(Claim claim, IReadOnlyList<LockWish> wishes, int answer)
    {
        if (answer != Claim.Granted) return new([], claim.Wishes[answer], claim.IsBehind);
        if (claim.Wishes.Count == 1) return new([new(claim.Grants[0]!)], null);

        var byKey = claim.Wishes.Zip(claim.Grants).ToDictionary(static granted => granted.First.Key, static granted => granted.Second!);
        return new(JobLockHandle.Of([.. wishes.DistinctBy(static wish => wish.Key).Select(wish => byKey[wish.Key])]), null);
    }

    private LockWish Wish(string name, LockMode mode = LockMode.Exclusive)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(name);

        var scoped = LockScope.Apply(_options.Scope, name);
        return new(scoped, LockKey.Of(scoped), Defined(mode));
    }

    private LockWish[] Wishes(IEnumerable<string> names)
    {
        ArgumentNullException.ThrowIfNull(names);

        LockWish[] wishes = [.. names.Select(name => Wish(name))];
        return wishes.Length > 0 ? wishes : throw new ArgumentException("There is no name to take the lock of.", nameof(names));
    }

    private Holder Named(Holder run) => run with { Application = _options.ApplicationName };

    private Claim Enter(IReadOnlyList<LockWish> wishes, Holder run, bool waits, CancellationToken stop, LinePlace? place = null)
    {
        stop.ThrowIfCancellationRequested();
        return _desk.Enter(InOrder(wishes), run, waits, waits ? Turn.DrawsPlace : place?.Place ?? Turn.Newcomer, place is { IsWoken: true } ? place.Key : null, StackOf(run), mayBlock: !waits);
    }

    /// <summary>Of a run of a scheduler, its name says more.</summary>
    private StackTrace? StackOf(Holder run) => _options.CaptureStackOnAcquire && string.Equals(run.Run, ByHand.Run, StringComparison.Ordinal) ? new(fNeedFileInfo: true) : null;

    private async Task<JobLockHandle?> TryTakeAsync(LockWish wish, CancellationToken stop)
    {
        var claim = Enter([wish], ByHand, waits: false, stop);
        try
        {
            await claim.Answer.WaitAsync(stop).ConfigureAwait(false);
            return claim.Grants[0] is { } grant ? new(grant) : null;
        }
        catch (OperationCanceledException)
        {
            _desk.Abandon(claim);
            throw;
        }
    }

    private JobLockHandle? TryTake(LockWish wish, CancellationToken stop) => TryTakeAll([wish], ByHand, place: null, stop).Handles is [var handle] ? handle : null;

    private async Task<Taken> TryTakeAllAsync(IReadOnlyList<LockWish> wishes, Holder run, LinePlace? place, CancellationToken stop)
    {
        var claim = Enter(wishes, Named(run), waits: false, stop, place);
        try
        {
            return Result(claim, wishes, await claim.Answer.WaitAsync(stop).ConfigureAwait(false));
        }
        catch (OperationCanceledException)
        {
            _desk.Abandon(claim);
            throw;
        }
    }

    private Taken TryTakeAll(IReadOnlyList<LockWish> wishes, Holder run, LinePlace? place, CancellationToken stop)
    {
        var claim = Enter(wishes, Named(run), waits: false, stop, place);
        try
        {
            Blocking.TryWait(claim.Answer, Timeout.InfiniteTimeSpan, stop);
            return Result(claim, wishes, Blocking.Wait(claim.Answer));
        }
        catch (OperationCanceledException)
        {
            _desk.Abandon(claim);
            throw;
        }
    }

    private async Task<JobLockHandle> TakeAsync(LockWish wish, TimeSpan timeout, CancellationToken stop)
    {
        CheckTimeout(timeout);

        var claim = Enter([wish], ByHand, waits: true, stop);
        try
        {
            await claim.Answer.WaitAsync(timeout, _clock, stop).ConfigureAwait(false);
            return new(claim.Grants[0]!);
        }
        catch (OperationCanceledException)
        {
            _desk.Abandon(claim);
            throw;
        }
        catch (TimeoutException)
        {
            _desk.Abandon(claim);
            var asked = FindHolderOrNobodyAsync(wish);
            await ((Task)asked).WaitAsync(LongestLook, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            stop.ThrowIfCancellationRequested();
            throw TooLate(wish, timeout, asked.IsCompletedSuccessfully ? await asked.ConfigureAwait(false) : null);
        }
    }

    private JobLockHandle Take(LockWish wish, TimeSpan timeout, CancellationToken stop)
    {
        CheckTimeout(timeout);

        var claim = Enter([wish], ByHand, waits: true, stop);
        try
        {
            if (Blocking.TryWait(claim.Answer, timeout, stop))
            {
                Blocking.Wait(claim.Answer);
                return new(claim.Grants[0]!);
            }
        }
        catch (OperationCanceledException)
        {
            _desk.Abandon(claim);
            throw;
        }

        _desk.Abandon(claim);
        var asked = FindHolderOrNobodyAsync(wish);
        throw TooLate(wish, timeout, Blocking.TryWait(asked, LongestLook, stop) && asked.IsCompletedSuccessfully ? Blocking.Wait(asked) : null);
    }

    private Task<Holder?> FindHolderAsync(LockWish wish) =>
        _desk.FindHolder(wish.Slots) is { } here ? Task.FromResult<Holder?>(here) : _desk.AskAsync(session => StillWorking(session.Prove(connection => ForeignHolder.Read(connection, wish)), wish));

    private Task<Holder?> FindHolderOrNobodyAsync(LockWish wish)
    {
        try
        {
            return FindHolderAsync(wish);
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
    private Holder? StillWorking(Holder? holder, LockWish wish)
    {
        if (holder?.Backend is not { } backend) return holder;
        if (_desk.IsCurrent(backend)) return _desk.FindHolder(wish.Slots);

        return _desk.IsPast(backend)
            ? throw new JobLocksUnavailableException($"{wish} is still with a lost session of this process (backend {backend}): the server lets go within {_options.LostAfter.TotalSeconds:0} s.")
            : holder;
    }

    private static void CheckTimeout(TimeSpan timeout)
    {
        if ((timeout < TimeSpan.Zero && timeout != Timeout.InfiniteTimeSpan) || timeout.TotalMilliseconds > int.MaxValue)
            throw new ArgumentOutOfRangeException(nameof(timeout), timeout, "A lock can be waited for from zero to 24 days. Use Timeout.InfiniteTimeSpan to wait without limit.");
    }

    private static TimeoutException TooLate(LockWish wish, TimeSpan timeout, Holder? holder) => new(
        $"{wish} was not free within {timeout.TotalSeconds.ToString("0.###", CultureInfo.InvariantCulture)} s. "
        + $"It is held by {holder?.ToString() ?? "somebody who has let go meanwhile"}.");
}
