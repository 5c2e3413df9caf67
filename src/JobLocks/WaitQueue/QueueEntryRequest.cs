using JobLocks.Locks;

namespace JobLocks.WaitQueue;

/// <summary>A request to enter the wait queue. It is sufficient to restore the entry.</summary>
/// <param name="Run">The run.</param>
/// <param name="Lock">The lock for which the run waits.</param>
/// <param name="AtMost">The longest wait; null for no limit.</param>
internal sealed record QueueEntryRequest(RunAddress Run, LockRequest Lock, TimeSpan? AtMost);
