using JobLocks.Gate;
using JobLocks.Inspection;
using JobLocks.Postgres;

namespace JobLocks;

/// <summary>Proof of a held lock. Disposing it releases the lock.</summary>
/// <remarks>
/// <para>Thread-safe. Disposing twice is harmless, and releasing never throws: a lock whose connection is gone is gone with it.</para>
/// <para>
/// Releasing does not wait for the server. Whatever this process asks for afterwards finds it done; another process finds it done
/// a moment later.
/// </para>
/// </remarks>
public sealed class JobLockHandle : IDisposable, IAsyncDisposable
{
    private static readonly AsyncLocal<JobLockHandle?> Ambient = new();

    private readonly ILockOwner _owner;
    private readonly Holder _holder;
    private readonly long _token;
    private CancellationTokenSource? _lost;
    private volatile bool _isLost;
    private bool _isReleased;
    private long _written;

    internal JobLockHandle(string? name, LockKey key, LockKey line, Holder holder, DateTimeOffset since, ILockOwner owner, long token)
    {
        Name = name;
        Key = key;
        Line = line;
        Since = since;
        _holder = holder;
        _owner = owner;
        _token = token;
    }

    /// <summary>The lock of the run that is being executed: inside a job with <c>[JobLock]</c>, otherwise null.</summary>
    /// <remarks>With several locks on one job, the one declared first. All of them share one session and are lost together.</remarks>
    public static JobLockHandle? Current
    {
        get => Ambient.Value;
        internal set => Ambient.Value = value;
    }

    /// <summary>The lock name, scope included; null where the lock was taken by its key.</summary>
    public string? Name { get; }

    /// <summary>The number PostgreSQL sees. With a limit, that of the slot: the first slot has the key of the name.</summary>
    public LockKey Key { get; }

    /// <summary>
    /// Cancelled when the lock can no longer be proved: stop the work it protects. That is before the server can give the lock to others,
    /// unless it ended the session itself. Releasing does not cancel it.
    /// </summary>
    public CancellationToken Lost
    {
        get
        {
            // In a process that was frozen, the one who looks may be awake before the clock is.
            _owner.CheckClock();
            var source = Volatile.Read(ref _lost);
            if (source is null)
            {
                var fresh = new CancellationTokenSource();
                source = Interlocked.CompareExchange(ref _lost, fresh, null) ?? fresh;
            }

            // Declared lost before there was a source, or by a thread that has not come to it yet: the one who looks must see it.
            if (_isLost && !source.IsCancellationRequested) LossTeller.Cancel(source);
            return source.Token;
        }
    }

    /// <summary>
    /// A number that grows with each grant of this key. Written beside what the lock protects, it lets a table refuse a holder that lost
    /// the lock without having noticed yet. Readers of one process who share a lock share its number.
    /// </summary>
    /// <exception cref="InvalidOperationException">There is none: it comes from the schema, which <see cref="JobLocksOptions.Schema"/> turns
    /// off, or which this role may not use; and a lock inside a transaction needs none, since a late write fails with the transaction.</exception>
    public long FencingToken =>
        _token > 0
            ? _token
            : throw new InvalidOperationException(
                $"The lock {this} has no fencing token. It needs the schema of JobLocks: set {nameof(JobLocksOptions.Schema)}, and see the GRANT lines "
                + "in docs/schema.sql. A lock in a transaction of the caller has none and needs none.");

    /// <summary>This process and run, as others are told about it.</summary>
    internal Holder Holder => _holder with { Since = Since };

    /// <summary>The key of the name, where this is one of its slots.</summary>
    internal LockKey Line { get; }

    /// <summary>The template of the rule that asked for it; null for code that took it by hand.</summary>
    internal string? Template { get; init; }

    /// <summary>Whom it keeps out.</summary>
    internal LockMode Mode { get; init; }

    /// <summary>All locks of the run that has this one as its first; null where it has no other.</summary>
    internal IReadOnlyList<JobLockHandle>? Together { get; set; }

    /// <summary>When it was granted.</summary>
    internal DateTimeOffset Since { get; }

    /// <summary>Under which number it is written down for those who look; 0 where it is not.</summary>
    internal long Written => Volatile.Read(ref _written);

    /// <summary>Whether it was given back.</summary>
    internal bool IsReleased => Volatile.Read(ref _isReleased);

    /// <summary>Whether <see cref="Lost"/> is cancelled.</summary>
    internal bool IsLost
    {
        get
        {
            _owner.CheckClock();
            return _isLost;
        }
    }

    /// <summary>What broke the connection that held the lock, where it is known; or who asked for it.</summary>
    internal Exception? LostBecause { get; private set; }

    /// <summary>How the lock was lost, as the record of a run says it.</summary>
    internal string LostReason => LostBecause switch
    {
        ReleaseRequestedException asked => $"The lock {JobGate.Shortened(ToString())} is given up, since {asked.Message}.",
        { } cause => $"The lock {JobGate.Shortened(ToString())} was lost with the connection that held it: {cause.Message.TrimEnd('.')}.",
        null => $"The lock {JobGate.Shortened(ToString())} was lost with the connection that held it.",
    };

    /// <summary>The lock as a person reads it.</summary>
    public override string ToString() => Name is null ? Key.ToString() : Shown.Name(Name);

    /// <summary>Releases the lock.</summary>
    public void Dispose()
    {
        if (!Interlocked.Exchange(ref _isReleased, true)) _owner.Release(this);
    }

    /// <summary>Releases the lock.</summary>
    public ValueTask DisposeAsync()
    {
        Dispose();
        return ValueTask.CompletedTask;
    }

    /// <summary>It is about to be written down. False where it was given back meanwhile: then it must not be.</summary>
    internal bool TryWrite(long number)
    {
        // The number before the look: who gives it back looks for the number after it has set the flag.
        Interlocked.Exchange(ref _written, number);
        return !IsReleased;
    }

    /// <summary>Tells the run, without waiting for what it does about it.</summary>
    internal void DeclareLost(Exception? cause = null)
    {
        LostBecause ??= cause;
        _isLost = true;
        // The flag before the look: who creates the source looks for the flag after it.
        Interlocked.MemoryBarrier();
        if (Volatile.Read(ref _lost) is { } lost) LossTeller.Tell(lost);
    }
}
