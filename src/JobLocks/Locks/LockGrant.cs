using System.Diagnostics;
using JobLocks.Primitives;

namespace JobLocks.Locks;

/// <summary>
/// One granted lock as the process keeps it until the release. No field references the <see cref="JobLockHandle"/> of the caller, so that the
/// garbage collector can detect a handle that the caller has dropped. Thread-safe.
/// </summary>
internal sealed class LockGrant
{
    private readonly ILockOwner _owner;
    private readonly Holder _holder;
    private WeakReference<CancellationTokenSource>? _lost;
    private volatile bool _isLost;
    private bool _isReleased;
    private Exception? _lostBecause;
    private IReadOnlyList<LockGrant>? _acquiredTogether;
    private long _readModelRow;

    public LockGrant(LockRequest request, LockKey key, Holder holder, DateTimeOffset since, ILockOwner owner, long token)
    {
        Name = request.Name;
        Key = key;
        NameKey = request.Key;
        Template = request.Template;
        Mode = request.Mode;
        Since = since;
        FencingToken = token;
        _holder = holder;
        _owner = owner;
    }

    /// <summary>The lock name, scope included; null where the lock was acquired by its key.</summary>
    public string? Name { get; }

    /// <summary>The number PostgreSQL sees. With a limit, the key of the slot.</summary>
    public LockKey Key { get; }

    /// <summary>The key of the lock name. It differs from <see cref="Key"/> for the further slots of a limit.</summary>
    public LockKey NameKey { get; }

    /// <summary>The template of the rule that requested the lock; null where code acquired it by hand.</summary>
    public string? Template { get; }

    /// <summary>Which other holders the lock excludes.</summary>
    public LockMode Mode { get; }

    /// <summary>When the lock was granted.</summary>
    public DateTimeOffset Since { get; }

    /// <summary>When the run or the caller began to wait for the lock, not later than <see cref="Since"/>; null where it did not wait.</summary>
    public DateTimeOffset? WaitingSince
    {
        get;
        // The queue entry of a run has a time of the server's clock.
        init => field = value > Since ? Since : value;
    }

    /// <summary>The fencing token; 0 for none.</summary>
    public long FencingToken { get; }

    /// <summary>This process and run, as it is shown to others.</summary>
    public Holder Holder => _holder with { Since = Since };

    /// <summary>The run, as it is shown to others; null where it is unknown.</summary>
    public string? Run => _holder.Run;

    /// <summary>The stack of the caller that acquired the lock; null where it was not captured.</summary>
    public StackTrace? Stack { get; init; }

    /// <summary>The number of the row of the lock in the read model for inspection; 0 where the lock is not recorded there.</summary>
    public long ReadModelRow => Volatile.Read(ref _readModelRow);

    /// <summary>Whether the lock was released.</summary>
    public bool IsReleased => Volatile.Read(ref _isReleased);

    /// <summary>Whether the lock was declared lost. Does not read the clock.</summary>
    public bool IsKnownLost => _isLost;

    /// <summary>Whether the session can no longer prove that it holds the lock. Reads the clock.</summary>
    public bool IsLost
    {
        get
        {
            _owner.CheckClock();
            return _isLost;
        }
    }

    /// <summary>
    /// Why the lock was lost: the error of the connection, a <see cref="ReleaseRequestedException"/> or a dropped handle; null where it is not lost, or
    /// unknown.
    /// </summary>
    public Exception? LostBecause => Volatile.Read(ref _lostBecause);

    /// <summary>The next element of the list of grants whose handles were collected. Published by the interlocked insertion into that list.</summary>
    public LockGrant? NextCollected { get; set; }

    /// <summary>
    /// The token source of a collected handle, on which callbacks may be registered; null where the handle had none. Published like
    /// <see cref="NextCollected"/>.
    /// </summary>
    public CancellationTokenSource? OrphanedLost { get; private set; }

    /// <summary>Releases the lock. Does not throw and does not block.</summary>
    public void Release()
    {
        if (!Interlocked.Exchange(ref _isReleased, true)) _owner.Release(this);
    }

    /// <summary>Called by the finalizer of a handle that was not disposed. The finalizer thread must not block, and the method must not throw.</summary>
    public void Collected(CancellationTokenSource? lost)
    {
        OrphanedLost = lost;
        if (!IsReleased) _owner.OnHandleCollected(this);
    }

    /// <summary>
    /// Sets <see cref="ReadModelRow"/> before the lock is recorded in the read model. False where the lock was released: then it must not be recorded.
    /// </summary>
    public bool TryAssignReadModelRow(long row)
    {
        // The row is set before the flag is read: a release reads the row after it has set the flag.
        Interlocked.Exchange(ref _readModelRow, row);
        return !IsReleased;
    }

    /// <summary>From now on a loss of the lock cancels this source.</summary>
    public void Watch(CancellationTokenSource lost)
    {
        Volatile.Write(ref _lost, new(lost));
        // The caller reads the flag next. A processor could read it before it writes the source for others to see.
        Interlocked.MemoryBarrier();
    }

    /// <summary>Declares the lock lost and cancels the token of its handle, without waiting for the callbacks of the token.</summary>
    public void DeclareLost(Exception? cause = null)
    {
        // Before the flag, which publishes it. The first cause counts.
        Interlocked.CompareExchange(ref _lostBecause, cause, null);
        _isLost = true;
        // The flag is set before the source is read: a handle sets its source before it reads the flag.
        Interlocked.MemoryBarrier();
        if (Volatile.Read(ref _lost) is { } weak && weak.TryGetTarget(out var lost)) LossNotifier.Notify(lost);
        else if (OrphanedLost is { } orphaned) LossNotifier.Notify(orphaned);
    }

    /// <summary>
    /// Declares the lock lost because a user has requested its release, and with it the locks that were acquired together with it: they protect one piece
    /// of work, which must stop.
    /// </summary>
    /// <param name="by">The user.</param>
    public void DeclareReleaseRequested(string by)
    {
        foreach (var grant in Volatile.Read(ref _acquiredTogether) ?? [this]) grant.DeclareLost(new ReleaseRequestedException(by, grant == this ? null : ToString()));
    }

    /// <summary>Tells grants that they were acquired together. Called before their handles are passed to the caller.</summary>
    public static void Join(IReadOnlyList<LockGrant> grants)
    {
        foreach (var grant in grants) Volatile.Write(ref grant._acquiredTogether, grants);
    }

    /// <inheritdoc cref="ILockOwner.CheckClock"/>
    public void CheckClock() => _owner.CheckClock();

    /// <inheritdoc/>
    public override string ToString() => Name is null ? Key.ToString() : DisplayText.Name(Name);
}
