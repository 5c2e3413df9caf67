namespace JobLocks.Naming;

/// <summary>One argument of a run.</summary>
/// <param name="Name">The name of the parameter, or the key in the data map.</param>
/// <param name="Value">The value that the scheduler passes to the job.</param>
/// <param name="IsFilledByScheduler">Whether the scheduler fills it in. Such an argument is never part of a lock name.</param>
internal sealed record JobArgument(string Name, object? Value, bool IsFilledByScheduler = false);
