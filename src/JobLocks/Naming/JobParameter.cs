namespace JobLocks.Naming;

/// <summary>One parameter of a job's method.</summary>
/// <param name="Name">Its name in the source.</param>
/// <param name="Type">Its declared type.</param>
/// <param name="IsPlumbing">True where the scheduler fills it in, as with a <see cref="CancellationToken"/>: it never names a lock.</param>
internal sealed record JobParameter(string Name, Type Type, bool IsPlumbing);
