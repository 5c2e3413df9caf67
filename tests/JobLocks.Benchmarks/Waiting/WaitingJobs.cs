using Hangfire;
using JobLocks.Hangfire;

namespace JobLocks.Benchmarks.Waiting;

/// <summary>Hangfire's jobs that hold a lock for a while.</summary>
public sealed class WaitingJobs
{
    [JobLock("bench({name})")]
    public void Wait(string name, int number, int milliseconds) => Held.For(name, number, milliseconds);

    [JobLock("bench({name})", OnConflict = OnConflict.Reschedule, RetryAfterSeconds = 1)]
    public void Reschedule(string name, int number, int milliseconds) => Held.For(name, number, milliseconds);

    public void Bare(string name, int number, int milliseconds) => Held.For(name, number, milliseconds);

    [DisableConcurrentExecution("bench-{0}", 600)]
    public void Block(string name, int number, int milliseconds) => Held.For(name, number, milliseconds);
}
