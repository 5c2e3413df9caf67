using Quartz;

namespace JobLocks.Quartz.Waiting;

/// <summary>The class of the job whose data contain the id of a store. It has no trigger, so it never runs.</summary>
internal sealed class StoreMark : IJob
{
    public ValueTask Execute(IJobExecutionContext context, CancellationToken cancellationToken = default) => default;
}
