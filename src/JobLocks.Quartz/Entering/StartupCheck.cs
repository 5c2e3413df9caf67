using Microsoft.Extensions.Hosting;
using Quartz;
using Quartz.Extensibility;

namespace JobLocks.Quartz.Entering;

/// <summary>
/// Stops the start if the rule of a job is invalid. As a plugin it stops the scheduler's own start. Quartz's hosted service starts schedulers after the host
/// has started, and does not report their errors, so the same check stops the start of a host a little earlier.
/// </summary>
internal sealed class StartupCheck : ISchedulerPlugin, IHostedLifecycleService
{
    private const int PageSize = 250;

    private volatile IScheduler? _scheduler;

    /// <summary>The scheduler; null until it is created.</summary>
    public IScheduler? Scheduler => _scheduler;

    ValueTask ISchedulerPlugin.Initialize(string pluginName, IScheduler scheduler, CancellationToken cancellationToken)
    {
        _scheduler = scheduler;
        return default;
    }

    ValueTask ISchedulerPlugin.Start(CancellationToken cancellationToken) => CheckAsync(cancellationToken);

    Task IHostedLifecycleService.StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    Task IHostedService.StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <summary>Runs after every hosted service has started, before the host reports that it has started.</summary>
    Task IHostedLifecycleService.StartedAsync(CancellationToken cancellationToken) => CheckAsync(cancellationToken).AsTask();

    Task IHostedLifecycleService.StoppingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    Task IHostedService.StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    Task IHostedLifecycleService.StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <summary>Checks the attributes of every job in the store, page by page. <c>WithJobLock</c> checks its own rules when it is called.</summary>
    /// <exception cref="JobLockRuleException">A rule is invalid.</exception>
    private async ValueTask CheckAsync(CancellationToken stop)
    {
        // If the scheduler was not created yet, there is nothing to check, and this check must not create it.
        if (_scheduler is not { } scheduler) return;

        var seen = new HashSet<string>(StringComparer.Ordinal);
        for (var skip = 0; ; skip += PageSize)
        {
            var jobs = await scheduler.QueryJobs(new() { Skip = skip, Take = PageSize }, stop).ConfigureAwait(false);
            foreach (var job in jobs.Items)
            {
                if (seen.Add(job.JobTypeName) && new JobType(job.JobTypeName).TryResolve(out var type)) DeclaredRules.Of(type);
            }

            if (!jobs.HasMore) return;
        }
    }
}
