using JobLocks.Quartz;
using Quartz;

namespace JobLocks.Benchmarks.Schedulers;

/// <summary>A job that does nothing.</summary>
public class BareQuartzJob : IJob
{
    public ValueTask Execute(IJobExecutionContext context, CancellationToken cancellationToken = default)
    {
        Finish.Pass();
        return ValueTask.CompletedTask;
    }
}

/// <summary>The same under a lock of its own for each run.</summary>
[JobLock("bench({n})")]
public sealed class LockedQuartzJob : BareQuartzJob;
