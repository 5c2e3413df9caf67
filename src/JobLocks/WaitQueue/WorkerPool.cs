namespace JobLocks.WaitQueue;

/// <summary>The workers of one scheduler that serve the same queues of the scheduler.</summary>
/// <param name="Queues">The queues; null for all queues of the store.</param>
/// <param name="Free">How many of the workers are free.</param>
internal readonly record struct WorkerPool(IReadOnlyList<string>? Queues, int Free);
