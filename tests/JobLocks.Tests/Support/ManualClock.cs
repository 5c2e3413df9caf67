namespace JobLocks.Tests.Support;

/// <summary>A clock that stands still until a test moves it. Due timers fire in order, on the thread that moves the clock. Thread-safe.</summary>
internal sealed class ManualClock : TimeProvider
{
    private readonly Lock _sync = new();
    private readonly List<ManualTimer> _timers = [];
    private DateTimeOffset _now = new(2026, 1, 2, 14, 0, 0, TimeSpan.Zero);

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    /// <summary>How many timers will fire.</summary>
    public int Timers
    {
        get
        {
            lock (_sync) return _timers.Count;
        }
    }

    public override DateTimeOffset GetUtcNow()
    {
        lock (_sync) return _now;
    }

    public override long GetTimestamp() => GetUtcNow().UtcTicks;

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        var timer = new ManualTimer(this, () => callback(state));
        timer.Change(dueTime, period);
        return timer;
    }

    /// <summary>Moves the clock, and fires each timer that is due on the way at its time.</summary>
    public void Advance(TimeSpan time)
    {
        var end = GetUtcNow() + time;
        while (TakeDue(end) is { } timer) timer.Fire();
    }

    private ManualTimer? TakeDue(DateTimeOffset end)
    {
        lock (_sync)
        {
            var next = _timers.MinBy(static timer => timer.DueAt);
            if (next is null || next.DueAt > end)
            {
                _now = end;
                return null;
            }

            _now = next.DueAt > _now ? next.DueAt : _now;
            _timers.Remove(next);
            return next;
        }
    }

    private sealed class ManualTimer(ManualClock clock, Action fire) : ITimer
    {
        public DateTimeOffset DueAt { get; private set; }

        public void Fire() => fire();

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            if (period != Timeout.InfiniteTimeSpan) throw new NotSupportedException("No code under test needs a timer that repeats.");

            lock (clock._sync)
            {
                clock._timers.Remove(this);
                DueAt = clock._now + dueTime;
                if (dueTime != Timeout.InfiniteTimeSpan) clock._timers.Add(this);
            }

            return true;
        }

        public void Dispose()
        {
            lock (clock._sync) clock._timers.Remove(this);
        }

        public ValueTask DisposeAsync()
        {
            Dispose();
            return default;
        }
    }
}
