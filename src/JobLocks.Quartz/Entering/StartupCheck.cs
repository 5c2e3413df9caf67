using Microsoft.Extensions.Hosting;
using Quartz;
using Quartz.Extensibility;

namespace JobLocks.Quartz.Entering;

/// <summary>
/// Stops the start where a job's rule cannot work. As a plugin it stops the scheduler's own start. Quartz's hosted service starts
/// schedulers after the host and lets nobody know how that went, so a host is stopped by the same check a little earlier.
/// </summary>
internal sealed class StartupCheck : ISchedulerPlugin, IHostedLifecycleService
{
    private const int Page = 250;

    private volatile IScheduler? _scheduler;

    /// <summary>The scheduler, as soon as it is made.</summary>
    public IScheduler? Scheduler => _scheduler;

    ValueTask ISchedulerPlugin.Initialize(string pluginName, IScheduler scheduler, CancellationToken cancellationToken)
    {
        _scheduler = scheduler;
        return default;
    }

    ValueTask ISchedulerPlugin.Start(CancellationToken cancellationToken) => CheckAsync(cancellationToken);

    Task IHostedLifecycleService.StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    Task IHostedService.StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <summary>After every hosted service has started, before the host says that it has.</summary>
    Task IHostedLifecycleService.StartedAsync(CancellationToken cancellationToken) => CheckAsync(cancellationToken).AsTask();

    Task IHostedLifecycleService.StoppingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    Task IHostedService.StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    Task IHostedLifecycleService.StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <summary>Checks the attributes of every job in the store, page by page. <c>WithJobLock</c> was checked when it was called.</summary>
    /// <exception cref="JobLockRuleException">One of them cannot work.</exception>
    private async ValueTask CheckAsync(CancellationToken stop)
    {
        // Where nobody asked for the scheduler yet, there is nothing to check, and it is not ours to make it.
        if (_scheduler is not { } scheduler) return;

        var seen = new HashSet<string>(StringComparer.Ordinal);
        for (var skip = 0; ; skip += Page)
        {
            var jobs = await scheduler.QueryJobs(new() { Skip = skip, Take = Page }, stop).ConfigureAwait(false);
            foreach (var job in jobs.Items)
            {
                if (seen.Add(job.JobTypeName) && new JobType(job.JobTypeName).TryResolve(out var type)) DeclaredRules.Of(type);
            }

            if (!jobs.HasMore) return;
        }
    }
}
