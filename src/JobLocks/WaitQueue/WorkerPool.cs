namespace JobLocks.WaitQueue;

/// <summary>Workers of one scheduler that serve the same queues.</summary>
/// <param name="Queues">Which; null for all queues of the store.</param>
/// <param name="Free">How many of the workers are free.</param>
internal readonly record struct WorkerPool(IReadOnlyList<string>? Queues, int Free);
