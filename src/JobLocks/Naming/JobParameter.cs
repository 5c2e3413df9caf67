namespace JobLocks.Naming;

/// <summary>One parameter of the method of a job.</summary>
/// <param name="Name">The name of the parameter in the source code.</param>
/// <param name="Type">The declared type.</param>
/// <param name="IsFilledByScheduler">
/// Whether the scheduler fills it in, such as a <see cref="CancellationToken"/>. Such a parameter is never part of a lock name.
/// </param>
internal sealed record JobParameter(string Name, Type Type, bool IsFilledByScheduler);
