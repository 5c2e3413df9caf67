using Hangfire;
using JobLocks.Hangfire;

namespace JobLocks.Benchmarks.Schedulers;

/// <summary>Jobs that do nothing, in the three ways that are compared.</summary>
public sealed class HangfireJobs
{
    public void Bare(int n) => Finish.Pass();

    [JobLock("bench({n})")]
    public void Locked(int n) => Finish.Pass();

    // Ten seconds: no two of them want the same, so nobody ever waits.
    [DisableConcurrentExecution("bench-{0}", 10)]
    public void NotConcurrent(int n) => Finish.Pass();
}
