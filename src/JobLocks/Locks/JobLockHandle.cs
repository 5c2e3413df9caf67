using JobLocks.Locks;
using JobLocks.Primitives;

namespace JobLocks;

/// <summary>Proof of a held lock. Disposing it releases the lock.</summary>
/// <remarks>
/// <para>Thread-safe. Disposing twice is harmless, and releasing never throws: a lock whose connection is gone is gone with it.</para>
/// <para>
/// Releasing does not wait for the server. Whatever this process asks for afterwards finds it done; another process finds it done
/// a moment later.
/// </para>
/// <para>
/// Keep the handle for as long as you need the lock. A handle that is dropped without being disposed, with its <see cref="Lost"/> token, is found
/// by the garbage collector: then <see cref="Lost"/> is cancelled for whatever was registered on it, the lock is released, and a warning is logged.
/// <see cref="JobLocksOptions.CaptureStackOnAcquire"/> adds to it where the lock was acquired.
/// </para>
/// </remarks>
public sealed class JobLockHandle : IDisposable, IAsyncDisposable
{
    private static readonly AsyncLocal<JobLockHandle?> Ambient = new();

    private readonly LockGrant _grant;
    private CancellationTokenSource? _lost;

    internal JobLockHandle(LockGrant grant) => _grant = grant;

#pragma warning disable MA0055 // Only the collector knows that a handle was dropped. A handle that is disposed never comes here.
    /// <summary>Releases a lock whose handle was dropped: see the remarks of the class.</summary>
    ~JobLockHandle() => _grant.Collected(_lost);
#pragma warning restore MA0055

    /// <summary>The lock of the run that is being executed: inside a job with <c>[JobLock]</c>, otherwise null.</summary>
    /// <remarks>With several locks on one job, the one declared first. All of them share one session and are lost together.</remarks>
    public static JobLockHandle? Current
    {
        get => Ambient.Value;
        internal set => Ambient.Value = value;
    }

    /// <summary>The lock name, scope included; null where the lock was taken by its key.</summary>
    public string? Name => _grant.Name;

    /// <summary>The number PostgreSQL sees. With a limit, that of the slot: the first slot has the key of the name.</summary>
    public LockKey Key => _grant.Key;

    /// <summary>
    /// Cancelled when the lock can no longer be proved: stop the work it protects. That is before the server can give the lock to others,
    /// unless it ended the session itself. Releasing does not cancel it.
    /// </summary>
    public CancellationToken Lost
    {
        get
        {
            // In a process that was frozen, this thread may be awake before the watch is.
            _grant.CheckClock();
            var source = Volatile.Read(ref _lost);
            if (source is null)
            {
                var fresh = new LostSource(this);
                source = Interlocked.CompareExchange(ref _lost, fresh, null);
                if (source is null) _grant.Watch(source = fresh);
            }

            // Declared lost before there was a source, or by a thread that has not come to it yet: the caller must see it.
            if (_grant.IsKnownLost && !source.IsCancellationRequested) LossNotifier.Cancel(source);
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
        _grant.Token > 0
            ? _grant.Token
            : throw new InvalidOperationException(
                $"The lock {this} has no fencing token. It needs the schema of JobLocks: set {nameof(JobLocksOptions.Schema)}, and see the GRANT lines "
                + "in docs/schema.sql. A lock in a transaction of the caller has none and needs none.");

    /// <summary>This process and run, as others are told about it.</summary>
    internal Holder Holder => _grant.Holder;

    /// <summary>The key of the name, where this is one of its slots.</summary>
    internal LockKey Line => _grant.Line;

    /// <summary>Whom it keeps out.</summary>
    internal LockMode Mode => _grant.Mode;

    /// <summary>
    /// All handles that were acquired with this one; null where there is no other. Each leads to the others, so that none of them is collected
    /// while one of them is in use.
    /// </summary>
    internal IReadOnlyList<JobLockHandle>? Together { get; private set; }

    /// <summary>When it was granted.</summary>
    internal DateTimeOffset Since => _grant.Since;

    /// <summary>Whether it was released.</summary>
    internal bool IsReleased => _grant.IsReleased;

    /// <summary>Whether <see cref="Lost"/> is cancelled.</summary>
    internal bool IsLost => _grant.IsLost;

    /// <summary>What broke the connection that held the lock, where it is known; or who asked for it.</summary>
    internal Exception? LostBecause => _grant.LostBecause;

    /// <summary>How the lock was lost, as the record of a run says it.</summary>
    internal string LostReason => LostBecause switch
    {
        ReleaseRequestedException asked => $"The lock {ToString()} is given up, since {asked.Message}.",
        { } cause => $"The lock {ToString()} was lost with the connection that held it: {DisplayText.Name(cause.Message, DisplayText.LongestMessage / 2).TrimEnd('.')}.",
        null => $"The lock {ToString()} was lost with the connection that held it.",
    };

    /// <summary>The lock as a person reads it.</summary>
    public override string ToString() => _grant.ToString();

    /// <summary>Releases the lock.</summary>
    public void Dispose()
    {
        _grant.Release();
        GC.SuppressFinalize(this);
    }

    /// <summary>Releases the lock.</summary>
    public ValueTask DisposeAsync()
    {
        _grant.Release();
        GC.SuppressFinalize(this);
        return ValueTask.CompletedTask;
    }

    /// <summary>Handles of locks that were acquired together, in this order.</summary>
    internal static JobLockHandle[] Of(IReadOnlyList<LockGrant> grants)
    {
        var handles = new JobLockHandle[grants.Count];
        for (var i = 0; i < handles.Length; i++) handles[i] = new(grants[i]);
        if (handles.Length == 1) return handles;

        foreach (var handle in handles) handle.Together = handles;
        return handles;
    }

    /// <summary>Whoever keeps its token, or a source that is linked to it, keeps the handle from being collected.</summary>
    private sealed class LostSource(JobLockHandle handle) : CancellationTokenSource
    {
        public override string ToString() => $"{nameof(Lost)} of {handle}";
    }
}
