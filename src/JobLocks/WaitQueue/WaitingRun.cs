
using JobLocks.Primitives;

namespace JobLocks.WaitQueue;

/// <summary>The entry of a run in the wait queue, as the wake dispatcher and the sweep see it.</summary>
/// <param name="Number">The number of the entry. It grows with each arrival, and is not the position.</param>
/// <param name="Key">The key of the lock for which the run waits.</param>
/// <param name="Name">The name of that lock.</param>
/// <param name="Address">The address of the run in its job store.</param>
/// <param name="IsParked">Whether the queue entry records that the run is parked.</param>
/// <param name="Since">When the run entered the queue, by the clock of the server.</param>
/// <param name="IsDeliveryClaimed">Whether a process has claimed the delivery of the wake to the job store.</param>
internal sealed record WaitingRun(long Number, LockKey Key, string Name, RunAddress Address, bool IsParked, bool IsDeliveryClaimed, DateTimeOffset Since)
{
    /// <summary>For how long the run has waited, by the clock of the server.</summary>
    public TimeSpan Waited { get; init; }

    /// <summary>
    /// Until when this process may wake the run in its store, by <see cref="BootClock"/>. After that, a sweep may have another process wake it.
    /// </summary>
    public TimeSpan WakeBy { get; init; } = TimeSpan.MaxValue;

    /// <summary>Whether <see cref="WakeBy"/> has passed, so that only a sweep may wake the run.</summary>
    public bool IsTooLate => BootClock.Now > WakeBy;
}
