namespace JobLocks;

/// <summary>Proof of a held lock. Disposing it releases the lock.</summary>
/// <remarks>Thread-safe. Disposing twice is harmless, and releasing never throws: a lock whose connection is gone is gone with it.</remarks>
public sealed class JobLockHandle : IDisposable, IAsyncDisposable
{
    private static readonly AsyncLocal<JobLockHandle?> Ambient = new();

    private readonly CancellationTokenSource _lost = new();
    private readonly Func<JobLockHandle, Task> _release;
    private Task? _released;

    internal JobLockHandle(string? name, LockKey key, Holder holder, Func<JobLockHandle, Task> release)
    {
        Name = name;
        Key = key;
        Holder = holder;
        Lost = _lost.Token;
        _release = release;
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

    /// <summary>The number PostgreSQL sees.</summary>
    public LockKey Key { get; }

    /// <summary>Cancelled when the lock can no longer be proved: stop the work it protects. Releasing does not cancel it.</summary>
    public CancellationToken Lost { get; }

    /// <summary>This process and run, as others are told about it.</summary>
    internal Holder Holder { get; private set; }

    /// <summary>False while the server has not yet answered.</summary>
    internal bool IsGranted { get; private set; }

    /// <summary>The lock as a person reads it.</summary>
    public override string ToString() => Name ?? Key.ToString();

    /// <summary>Releases the lock and waits until the server has said so.</summary>
    public void Dispose() => Blocking.Wait(ReleaseAsync());

    /// <summary>Releases the lock.</summary>
    public ValueTask DisposeAsync() => new(ReleaseAsync());

    internal void Grant(DateTimeOffset since)
    {
        Holder = Holder with { Since = since };
        IsGranted = true;
    }

    /// <summary>Tells the run, without waiting for what it does about it.</summary>
    internal void DeclareLost() => _ = _lost.CancelAsync();

    private Task ReleaseAsync()
    {
        lock (_lost) return _released ??= _release(this);
    }
}
