using JobLocks.Gate;
using JobLocks.Quartz.Entering;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Quartz;

namespace JobLocks.Quartz;

/// <summary>Connects a scheduler that is being built to the locks of <see cref="JobLockAttribute"/> and <c>WithJobLock</c>.</summary>
public static class JobLocksQuartzBuilderExtensions
{
    /// <summary>Uses the locks that <c>services.AddJobLocks(…)</c> registered in the container.</summary>
    /// <param name="quartz">The scheduler that is being built.</param>
    /// <returns><paramref name="quartz"/>. A second call changes nothing.</returns>
    /// <remarks>
    /// An invalid rule stops the start of the scheduler and of its host with a <see cref="JobLockRuleException"/>. If <c>AddJobLocks</c> was not called,
    /// the scheduler cannot be created, and a <see cref="JobLocksNotConfiguredException"/> is thrown.
    /// </remarks>
    /// <example><code>
    /// builder.Services.AddJobLocks(connectionString);
    /// builder.Services.AddQuartz(quartz => quartz.UseJobLocks());
    /// </code></example>
    public static IQuartzBuilder UseJobLocks(this IQuartzBuilder quartz)
    {
        ArgumentNullException.ThrowIfNull(quartz);

        return Use(quartz, locks: null);
    }

    /// <summary>Uses the given locks, for a scheduler that is built without a container of the application.</summary>
    /// <param name="quartz">The scheduler that is being built.</param>
    /// <param name="locks">Created by <see cref="AdvisoryLocks"/>. The caller disposes them, after the scheduler has shut down.</param>
    /// <returns><paramref name="quartz"/>. A second call changes nothing.</returns>
    /// <exception cref="ArgumentException"><paramref name="locks"/> was not created by <see cref="AdvisoryLocks"/>.</exception>
    /// <example><code>
    /// await using var locks = AdvisoryLocks.Connect(connectionString);
    /// var scheduler = await QuartzSchedulerBuilder.Create(quartz => quartz.UseJobLocks(locks)).BuildScheduler();
    /// </code></example>
    public static IQuartzBuilder UseJobLocks(this IQuartzBuilder quartz, IJobLocks locks)
    {
        ArgumentNullException.ThrowIfNull(quartz);
        // Validates the locks now, so that the stack trace of the exception shows this call.
        _ = JobGate.To(locks);

        return Use(quartz, locks);
    }

    private static IQuartzBuilder Use(IQuartzBuilder quartz, IJobLocks? locks)
    {
        var name = quartz.SchedulerName;
        if (quartz.Services.Any(service => service.ServiceType == typeof(SchedulerServices) && name.Equals(service.ServiceKey))) return quartz;

        quartz.Services.AddKeyedSingleton(name, (_, _) => new SchedulerServices(locks, name));
        quartz.Services.AddSingleton<IHostedService>(services => PartOf(services).StartupCheck);
        // The callback runs when the configuration is complete, so the job store may be configured before or after this call.
        quartz.Services.ConfigureAllQuartzSchedulers(built =>
        {
            if (string.Equals(built.SchedulerName, name, StringComparison.Ordinal)) JobStoreRegistration.Decorate(built, (store, services) => PartOf(services).Decorate(store, services));
        });
        return quartz
            .AddTriggerListener(Listener)
            .AddJobListener(Listener)
            .AddSchedulerListener(Listener)
            .AddJobMiddleware(Listener)
            .AddPlugin(services => PartOf(services).StartupCheck, JobLockListener.Name);

        JobLockListener Listener(IServiceProvider services) => PartOf(services).ListenerFrom(services);

        SchedulerServices PartOf(IServiceProvider services) => services.GetRequiredKeyedService<SchedulerServices>(name);
    }
}
