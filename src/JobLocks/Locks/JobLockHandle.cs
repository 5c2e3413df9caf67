using JobLocks.Locks;
using JobLocks.Primitives;

namespace JobLocks;

/// <summary>Proof of a held lock. Disposing it releases the lock.</summary>
/// <remarks>
/// <para>Thread-safe. Disposing twice is harmless, and releasing never throws: where the connection is closed, the server has released the lock.</para>
/// <para>
/// Disposing does not wait for the server. For later requests of this process the lock is free at once; for other processes it is free a
/// moment later.
/// </para>
/// <para>
/// Keep the handle for as long as you need the lock. If neither the handle nor its <see cref="Lost"/> token is referenced any more, and the handle was not
/// disposed, the garbage collector finds it: <see cref="Lost"/> is cancelled, the lock is released, and a warning is logged. With
/// <see cref="JobLocksOptions.CaptureStackOnAcquire"/>, the warning shows where the lock was acquired.
/// </para>
/// </remarks>
public sealed class JobLockHandle : IDisposable, IAsyncDisposable
{
    private static readonly AsyncLocal<JobLockHandle?> Ambient = new();

    private readonly LockGrant _grant;
    private CancellationTokenSource? _lost;

    internal JobLockHandle(LockGrant grant) => _grant = grant;

#pragma warning disable MA0055 // Only the garbage collector knows that a handle was dropped. The finalizer does not run for a disposed handle.
    /// <summary>Releases the lock of a handle that was dropped without being disposed: see the remarks of the class.</summary>
    ~JobLockHandle() => _grant.Collected(_lost);
#pragma warning restore MA0055

    /// <summary>The lock of the current run, inside a job with <c>[JobLock]</c>; otherwise null.</summary>
    /// <remarks>
    /// Where a job has several locks, this is the lock that is declared first. Attributes come first, then the locks of <c>WithJobLock</c>, which are ordered
    /// by name. All of them are lost together.
    /// </remarks>
    public static JobLockHandle? Current
    {
        get => Ambient.Value;
        internal set => Ambient.Value = value;
    }

    /// <summary>The lock name, scope included; null where the lock was acquired by its key.</summary>
    public string? Name => _grant.Name;

    /// <summary>The number PostgreSQL sees. With a limit, the key of the slot: the first slot has the key of the name.</summary>
    public LockKey Key => _grant.Key;

    /// <summary>
    /// Cancelled when the session can no longer prove that it holds the lock: stop the work that the lock protects. If the network fails silently, it is
    /// cancelled before the server can grant the lock to others. If the session was terminated, or the process was frozen, it is cancelled after that.
    /// Releasing the lock does not cancel the token. It is also cancelled when a user requests the release of the lock, which is then held until the handle
    /// is disposed.
    /// </summary>
    public CancellationToken Lost
    {
        get
        {
            // After the process was frozen, this thread may run again before the thread that watches the session does.
            _grant.CheckClock();
            var source = Volatile.Read(ref _lost);
            if (source is null)
            {
                var fresh = new LostSource(this);
                source = Interlocked.CompareExchange(ref _lost, fresh, null);
                if (source is null) _grant.Watch(source = fresh);
            }

            // The lock may have been lost before the source existed, or the cancellation may still be pending: the caller must see the loss.
            if (_grant.IsKnownLost && !source.IsCancellationRequested) LossNotifier.Cancel(source);
            return source.Token;
        }
    }

    /// <summary>
    /// A number that grows with each grant of this key. A table that stores it beside the protected data can refuse the writes of a holder that has
    /// lost the lock and has not noticed it yet. Readers of one process that share a lock share its number.
    /// </summary>
    /// <exception cref="InvalidOperationException">
    /// The lock has no fencing token. Tokens need the schema, which <see cref="JobLocksOptions.Schema"/> may turn off, and which this role must be
    /// allowed to use. A lock inside a transaction has none and needs none, because a late write fails with the transaction.
    /// </exception>
    public long FencingToken =>
        _grant.FencingToken > 0
            ? _grant.FencingToken
            : throw new InvalidOperationException(
                $"The lock {this} has no fencing token. It needs the schema of JobLocks: set {nameof(JobLocksOptions.Schema)}, and see the GRANT lines "
                + "in docs/schema.sql. A lock in a transaction of the caller has none and needs none.");

    /// <summary>This process and run, as it is shown to others.</summary>
    internal Holder Holder => _grant.Holder;

    /// <summary>The key of the lock name. It differs from <see cref="Key"/> for the further slots of a limit.</summary>
    internal LockKey NameKey => _grant.NameKey;

    /// <summary>Which other holders the lock excludes.</summary>
    internal LockMode Mode => _grant.Mode;

    /// <summary>
    /// All handles that were acquired together with this one; null where there is no other. Each handle references the others, so that none is
    /// collected while one of them is in use.
    /// </summary>
    internal IReadOnlyList<JobLockHandle>? AcquiredTogether { get; private set; }

    /// <summary>When the lock was granted.</summary>
    internal DateTimeOffset Since => _grant.Since;

    /// <summary>Whether the lock was released.</summary>
    internal bool IsReleased => _grant.IsReleased;

    /// <summary>Whether <see cref="Lost"/> is cancelled.</summary>
    internal bool IsLost => _grant.IsLost;

    /// <inheritdoc cref="LockGrant.LostBecause"/>
    internal Exception? LostBecause => _grant.LostBecause;

    /// <summary>Why the lock was lost, as text for the record of the run.</summary>
    internal string LostReason => LostBecause switch
    {
        ReleaseRequestedException request => $"The lock {ToString()} is given up, since {request.Message}.",
        { } cause => $"The lock {ToString()} was lost with the connection that held it: {DisplayText.Name(cause.Message, DisplayText.LongestMessage / 2).TrimEnd('.')}.",
        null => $"The lock {ToString()} was lost with the connection that held it.",
    };

    /// <summary>The lock name, shortened for display; without a name, the key.</summary>
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

    /// <summary>Creates the handles of locks that were acquired together, in the same order.</summary>
    internal static JobLockHandle[] Of(IReadOnlyList<LockGrant> grants)
    {
        var handles = new JobLockHandle[grants.Count];
        for (var i = 0; i < handles.Length; i++) handles[i] = new(grants[i]);
        if (handles.Length == 1) return handles;

        foreach (var handle in handles) handle.AcquiredTogether = handles;
        LockGrant.Join(grants);
        return handles;
    }

    /// <summary>References the handle, so that the handle is not collected while its token, or a source that is linked to the token, is referenced.</summary>
    private sealed class LostSource(JobLockHandle handle) : CancellationTokenSource
    {
        public override string ToString() => $"{nameof(Lost)} of {handle}";
    }
}
