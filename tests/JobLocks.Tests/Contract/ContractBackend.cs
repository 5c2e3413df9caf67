namespace JobLocks.Tests.Contract;

/// <summary>An implementation of the locks, as the contract fixtures open it.</summary>
public abstract class ContractBackend
{
    /// <summary>Called once for a fixture.</summary>
    internal abstract Task PrepareAsync(string fixture);

    /// <summary>Opens locks. They also implement <c>ILockBackend</c>, and their disposal releases everything.</summary>
    internal abstract IJobLocks Open(Action<JobLocksOptions> configure);

    /// <summary>Has all locks be lost, as after an accident that the holders did not cause.</summary>
    internal abstract Task LoseAllAsync(IJobLocks locks);
}
