using Quartz;

namespace JobLocks.Benchmarks.Waiting;

/// <summary>The same without any lock.</summary>
public sealed class BareQuartzJob : IJob
{
    public ValueTask Execute(IJobExecutionContext context, CancellationToken cancellationToken = default) => OwnQuartzJob.Hold(context);
}
