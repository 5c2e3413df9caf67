using JobLocks.Quartz;
using Quartz;

namespace JobLocks.Together.Tests;

[JobLock("sync({client})")]
public sealed class QuartzInLine : IJob
{
    public async ValueTask Execute(IJobExecutionContext context, CancellationToken cancellationToken = default) =>
        await Work.DoAsync(context.MergedJobDataMap.GetString("client")!, "Quartz");
}
