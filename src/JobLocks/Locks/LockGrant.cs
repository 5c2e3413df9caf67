using System.Diagnostics;
using JobLocks.Postgres.Locks;
using JobLocks.Primitives;

namespace JobLocks.Locks;

/// <summary>
/// One granted lock as the process keeps it, until it is released. Nothing here leads to the <see cref="JobLockHandle"/> of the caller: the
/// garbage collector must be able to find out that the caller has dropped the handle. Thread-safe.
/// </summary>
internal sealed class LockGrant
{
    private readonly ILockOwner _owner;
    private readonly Holder _holder;
    private WeakReference<CancellationTokenSource>? _lost;
    private volatile bool _isLost;
    private bool _isReleased;
    private long _written;

    public LockGrant(LockRequest request, LockKey key, Holder holder, DateTimeOffset since, ILockOwner owner, long token)
    {
        Name = request.Name;
        Key = key;
        Line = request.Key;
        Template = request.Template;
        Mode = request.Mode;
        Since = since;
        Token = token;
        _holder = holder;
        _owner = owner;
    }

    /// <summary>The lock name, scope included; null where the lock was taken by its key.</summary>
    public string? Name { get; }

    /// <summary>The number PostgreSQL sees. With a limit, that of the slot.</summary>
    public LockKey Key { get; }

    /// <summary>The key of the name, where this is one of its slots.</summary>
    public LockKey Line { get; }

    /// <summary>The template of the rule that asked for it; null for code that took it by hand.</summary>
    public string? Template { get; }

    /// <summary>Whom it keeps out.</summary>
    public LockMode Mode { get; }

    /// <summary>When it was granted.</summary>
    public DateTimeOffset Since { get; }

    /// <summary>The fencing token; 0 for none.</summary>
    public long Token { get; }

    /// <summary>This process and run, as others are told about it.</summary>
    public Holder Holder => _holder with { Since = Since };

    /// <summary>Where it was acquired; null where the stack was not captured.</summary>
    public StackTrace? Stack { get; init; }

    /// <summary>Under which number it is written down for inspection; 0 where it is not.</summary>
    public long Written => Volatile.Read(ref _written);

    /// <summary>Whether it was released.</summary>
    public bool IsReleased => Volatile.Read(ref _isReleased);

    /// <summary>Whether it is lost, as far as is known without a look at the clock.</summary>
    public bool IsKnownLost => _isLost;

    /// <summary>Whether it can no longer be proved.</summary>
    public bool IsLost
    {
        get
        {
            _owner.CheckClock();
            return _isLost;
        }
    }

    /// <summary>What broke the connection that held the lock, where it is known; or who asked for it.</summary>
    public Exception? LostBecause { get; private set; }

    /// <summary>The next element of the list of grants whose handles were collected, see <see cref="LockDispatcher"/>.</summary>
    public LockGrant? NextCollected { get; set; }

    /// <summary>The callbacks that a collected handle has left behind; null where nothing was registered.</summary>
    public CancellationTokenSource? Abandoned { get; private set; }

    /// <summary>Releases the lock. Never throws and never waits.</summary>
    public void Release()
    {
        if (!Interlocked.Exchange(ref _isReleased, true)) _owner.Release(this);
    }

    /// <summary>The handle was collected without being disposed. On the thread of the finalizers, which must not wait and must not throw.</summary>
    public void Collected(CancellationTokenSource? lost)
    {
        Abandoned = lost;
        if (!IsReleased) _owner.Collected(this);
    }

    /// <summary>It is about to be written down. False where it was released meanwhile: then it must not be.</summary>
    public bool TryWrite(long number)
    {
        // The number before the look: a release looks for the number after it has set the flag.
        Interlocked.Exchange(ref _written, number);
        return !IsReleased;
    }

    /// <summary>From now on a loss cancels this source.</summary>
    public void Watch(CancellationTokenSource lost)
    {
        Volatile.Write(ref _lost, new(lost));
        // The source before the caller's look at the flag: a processor may otherwise read the flag first.
        Interlocked.MemoryBarrier();
    }

    /// <summary>Tells the holder, without waiting for what it does about it.</summary>
    public void DeclareLost(Exception? cause = null)
    {
        LostBecause ??= cause;
        _isLost = true;
        // The flag before the look: the handle that creates the source looks for the flag after it.
        Interlocked.MemoryBarrier();
        if (Volatile.Read(ref _lost) is { } weak && weak.TryGetTarget(out var lost)) LossNotifier.Tell(lost);
        else if (Abandoned is { } abandoned) LossNotifier.Tell(abandoned);
    }

    /// <summary>Reads the clock, which may show that the lock is lost.</summary>
    public void CheckClock() => _owner.CheckClock();

    /// <inheritdoc/>
    public override string ToString() => Name is null ? Key.ToString() : DisplayText.Name(Name);
}
