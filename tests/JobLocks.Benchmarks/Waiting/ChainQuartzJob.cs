using System.Globalization;
using Quartz;

namespace JobLocks.Benchmarks.Waiting;

/// <summary>The same without any lock, but that each starts the next.</summary>
public sealed class ChainQuartzJob : IJob
{
    public async ValueTask Execute(IJobExecutionContext context, CancellationToken cancellationToken = default)
    {
        await OwnQuartzJob.Hold(context);
        var (name, number, last) = (context.MergedJobDataMap.GetString("name")!, context.MergedJobDataMap.GetInt("number"), context.MergedJobDataMap.GetInt("last"));
        if (number == last) return;

        await context.Scheduler.ScheduleJob(
            TriggerBuilder.Create()
                .WithIdentity(string.Create(CultureInfo.InvariantCulture, $"{name}-{number + 1}"))
                .ForJob(context.JobDetail)
                .UsingJobData(context.Trigger.JobDataMap)
                .UsingJobData("number", number + 1)
                .StartNow()
                .Build(),
            cancellationToken: cancellationToken);
    }
}
