using Quartz;

namespace JobLocks.Quartz.Waiting;

/// <summary>The class of the job that names a store. It has no trigger.</summary>
internal sealed class StoreMark : IJob
{
    public ValueTask Execute(IJobExecutionContext context, CancellationToken cancellationToken = default) => default;
}
