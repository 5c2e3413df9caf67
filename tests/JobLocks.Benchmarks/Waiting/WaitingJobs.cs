using Hangfire;
using Hangfire.Server;
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

    public void Chain(string name, int number, int last, int milliseconds, PerformContext context)
    {
        Held.For(name, number, milliseconds);
        if (number < last) new BackgroundJobClient(context.Storage).Enqueue<WaitingJobs>(jobs => jobs.Chain(name, number + 1, last, milliseconds, null!));
    }

    [DisableConcurrentExecution("bench-{0}", 600)]
    public void Block(string name, int number, int milliseconds) => Held.For(name, number, milliseconds);
}
