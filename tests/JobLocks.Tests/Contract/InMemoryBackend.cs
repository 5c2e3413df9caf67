using JobLocks.InMemory;

namespace JobLocks.Tests.Contract;

/// <summary>Locks in the memory of this process.</summary>
internal sealed class InMemoryBackend : ContractBackend
{
    internal override Task PrepareAsync(string fixture) => Task.CompletedTask;

    internal override IJobLocks Open(Action<JobLocksOptions> configure)
    {
        var options = new JobLocksOptions();
        configure(options);
        return new InMemoryLocks(options);
    }

    internal override Task LoseAllAsync(IJobLocks locks)
    {
        ((InMemoryLocks)locks).LoseAll();
        return Task.CompletedTask;
    }
}
