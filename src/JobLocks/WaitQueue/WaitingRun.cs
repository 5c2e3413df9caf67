
using JobLocks.Primitives;

namespace JobLocks.WaitQueue;

/// <summary>A run in the line, as those see it who wake it.</summary>
/// <param name="Place">Its place: a number that grows with each arrival.</param>
/// <param name="Key">The lock that it waits for.</param>
/// <param name="Name">The name of that lock.</param>
/// <param name="Address">Where it is.</param>
/// <param name="IsParked">Whether its store is known to keep it until it is woken.</param>
/// <param name="Since">Since when it stands there, by the clock of the server.</param>
/// <param name="IsOurs">Whether its turn has come, and it is for this process to tell its store.</param>
internal sealed record WaitingRun(long Place, LockKey Key, string Name, RunAddress Address, bool IsParked, bool IsOurs, DateTimeOffset Since)
{
    /// <summary>For how long it has waited, by the clock of the server.</summary>
    public TimeSpan Waited { get; init; }

    /// <summary>Until when this process may tell the store, by <see cref="BootClock"/>: later, a sweep may have another one do it.</summary>
    public TimeSpan TellBy { get; init; } = TimeSpan.MaxValue;

    /// <summary>Whether it is for a sweep by now.</summary>
    public bool IsTooLate => BootClock.Now > TellBy;
}
