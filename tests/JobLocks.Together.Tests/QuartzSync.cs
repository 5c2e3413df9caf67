using JobLocks.Quartz;
using Quartz;

namespace JobLocks.Together.Tests;

[JobLock("sync({client})", OnConflict = OnConflict.Skip)]
public sealed class QuartzSync : IJob
{
    public async ValueTask Execute(IJobExecutionContext context, CancellationToken cancellationToken = default) =>
        await Work.DoAsync(context.MergedJobDataMap.GetString("client")!, "Quartz");
}
