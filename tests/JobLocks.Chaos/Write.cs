namespace JobLocks.Chaos;

/// <summary>One write of persisted job data, as the job store did it.</summary>
/// <param name="Stamp">When, by the sequence of the events.</param>
/// <param name="Counter">The job.</param>
/// <param name="Attempt">The attempt whose end was written.</param>
/// <param name="Before">The count that it replaced.</param>
/// <param name="After">The count that it wrote.</param>
internal sealed record Write(long Stamp, string Counter, string Attempt, int Before, int After);
