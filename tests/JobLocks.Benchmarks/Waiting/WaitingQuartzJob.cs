using JobLocks.Quartz;
using Quartz;

namespace JobLocks.Benchmarks.Waiting;

/// <summary>Quartz's job that holds a lock for a while.</summary>
[JobLock("bench({name})")]
public sealed class WaitingQuartzJob : IJob
{
    public ValueTask Execute(IJobExecutionContext context, CancellationToken cancellationToken = default) => OwnQuartzJob.Hold(context);
}
