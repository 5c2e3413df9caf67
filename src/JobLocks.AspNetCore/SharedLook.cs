namespace JobLocks.AspNetCore;

/// <summary>
/// The beginning of the overview, read once a second for all who look at it, and never twice at a time: reading the lock table slows those who take locks.
/// Thread-safe.
/// </summary>
internal sealed class SharedLook
{
    private static readonly TimeSpan Lasts = TimeSpan.FromSeconds(1);

    private readonly Lock _door = new();
    private Task<LockSnapshot>? _look;
    private long _begunAt;

    public Task<LockSnapshot> ReadAsync(IJobLockInspector locks, CancellationToken stop)
    {
        lock (_door)
        {
            if (_look is null || (_look.IsCompleted && Environment.TickCount64 - _begunAt >= Lasts.TotalMilliseconds))
            {
                _begunAt = Environment.TickCount64;
                // Who asked first may go away, and the others look on.
                _look = locks.GetSnapshotAsync(stop: CancellationToken.None);
            }

            return _look.WaitAsync(stop);
        }
    }
}
