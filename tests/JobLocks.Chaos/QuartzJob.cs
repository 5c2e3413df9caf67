using JobLocks.Quartz;
using Quartz;

namespace JobLocks.Chaos;

/// <summary>The runs of Quartz.</summary>
internal class QuartzJob(Work work) : IJob
{
    public async ValueTask Execute(IJobExecutionContext context, CancellationToken cancellationToken = default)
    {
        var data = context.MergedJobDataMap;
        // A recovered run that had to wait carries that on.
        if (context.Recovering || data.ContainsKey("JOBLOCKS_STARTED_BEFORE")) work.Recovered(data.GetInt("run"));
        await work.DoAsync(data.GetInt("run"), data.GetInt("milliseconds"), context.Trigger.Key.Name, cancellationToken);
    }
}

[JobLock("{name}", RetryAfterSeconds = 1)]
internal sealed class QuartzAlone(Work work) : QuartzJob(work);

[JobLock("{name}", Mode = LockMode.Shared, RetryAfterSeconds = 1)]
internal sealed class QuartzShared(Work work) : QuartzJob(work);

[JobLock("{name}", Limit = 2, RetryAfterSeconds = 1)]
internal sealed class QuartzOfTwo(Work work) : QuartzJob(work);

[JobLock("{name}", RetryAfterSeconds = 1), JobLock("{second}", RetryAfterSeconds = 1)]
internal sealed class QuartzBoth(Work work) : QuartzJob(work);
