using JobLocks.Locks;

namespace JobLocks.WaitQueue;

/// <summary>What a run enters the wait queue with: enough to restore its entry.</summary>
/// <param name="Run">The run.</param>
/// <param name="Lock">The lock that it waits for.</param>
/// <param name="AtMost">How long it waits; null for no limit.</param>
internal sealed record QueueEntryRequest(RunAddress Run, LockRequest Lock, TimeSpan? AtMost);
