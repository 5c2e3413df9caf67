namespace JobLocks.Naming;

/// <summary>One argument of a run.</summary>
/// <param name="Name">Parameter name or key of the data map.</param>
/// <param name="Value">As the scheduler would pass it to the job.</param>
/// <param name="IsPlumbing">True where the scheduler fills it in: it never names a lock.</param>
internal sealed record JobArgument(string Name, object? Value, bool IsPlumbing = false);
