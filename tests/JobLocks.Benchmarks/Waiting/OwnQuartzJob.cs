using Quartz;

namespace JobLocks.Benchmarks.Waiting;

/// <summary>The same, kept apart by Quartz itself.</summary>
[DisallowConcurrentExecution]
public sealed class OwnQuartzJob : IJob
{
    public ValueTask Execute(IJobExecutionContext context, CancellationToken cancellationToken = default) => Hold(context);

    internal static ValueTask Hold(IJobExecutionContext context)
    {
        var data = context.MergedJobDataMap;
        Held.For(data.GetString("name")!, data.GetInt("number"), data.GetInt("milliseconds"));
        return ValueTask.CompletedTask;
    }
}
