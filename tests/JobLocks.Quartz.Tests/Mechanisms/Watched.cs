using JobLocks.Quartz.Tests.Support;
using Microsoft.Extensions.DependencyInjection;
using Quartz;
using Quartz.Extensibility;

namespace JobLocks.Quartz.Tests.Mechanisms;

/// <summary>A node together with everything that it reports: its listeners, its log, its execution history.</summary>
internal sealed class Watched(Node node, Heard heard, LogLines log, IServiceProvider services)
{
    public Node Node { get; } = node;

    public Heard Heard { get; } = heard;

    public LogLines Log { get; } = log;

    public IServiceProvider Services { get; } = services;

    public IScheduler Scheduler => Node.Scheduler;

    private IExecutionHistoryStore History => Services.GetRequiredService<IExecutionHistoryStore>();

    /// <summary>The runs that the execution history holds.</summary>
    public async Task<IReadOnlyList<ExecutionHistoryEntry>> ExecutionsAsync() =>
        (await History.QueryExecutions(new() { SchedulerName = Scheduler.SchedulerName })).Items;

    /// <summary>The misfires, overlaps and vetoes that the execution history holds.</summary>
    public async Task<IReadOnlyList<MisfireHistoryEntry>> MisfiresAsync() =>
        (await History.QueryMisfires(new() { SchedulerName = Scheduler.SchedulerName })).Items;

    public async Task<JobRunStatus?> StatusAsync(JobKey job) => await History.GetJobRunStatus(Scheduler.SchedulerName, job);
}
