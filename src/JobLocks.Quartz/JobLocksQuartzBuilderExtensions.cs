using JobLocks.Gate;
using JobLocks.Quartz.Entering;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Quartz;

namespace JobLocks.Quartz;

/// <summary>Lets the jobs of a scheduler carry <see cref="JobLockAttribute"/> and <c>WithJobLock</c>.</summary>
public static class JobLocksQuartzBuilderExtensions
{
    /// <summary>Uses the locks that <c>services.AddJobLocks(…)</c> put into the container.</summary>
    /// <param name="quartz">The scheduler that is being built.</param>
    /// <returns><paramref name="quartz"/>. A second call changes nothing.</returns>
    /// <remarks>
    /// A rule that cannot work stops the start of the scheduler and of its host with a <see cref="JobLockRuleException"/>; where
    /// <c>AddJobLocks</c> was forgotten, the scheduler cannot be made, and a <see cref="JobLocksNotConfiguredException"/> says so.
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

    /// <summary>Uses these locks, for a scheduler that is built without a container of the application.</summary>
    /// <param name="quartz">The scheduler that is being built.</param>
    /// <param name="locks">Stay the caller's to dispose, after the scheduler has shut down.</param>
    /// <returns><paramref name="quartz"/>. A second call changes nothing.</returns>
    /// <exception cref="ArgumentException"><paramref name="locks"/> are none of this library's.</exception>
    /// <example><code>
    /// await using var locks = AdvisoryLocks.Connect(connectionString);
    /// var scheduler = await QuartzSchedulerBuilder.Create(quartz => quartz.UseJobLocks(locks)).BuildScheduler();
    /// </code></example>
    public static IQuartzBuilder UseJobLocks(this IQuartzBuilder quartz, IJobLocks locks)
    {
        ArgumentNullException.ThrowIfNull(quartz);
        // Says at this line that these locks will not do.
        _ = JobGate.To(locks);

        return Use(quartz, locks);
    }

    private static IQuartzBuilder Use(IQuartzBuilder quartz, IJobLocks? locks)
    {
        var name = quartz.SchedulerName;
        if (quartz.Services.Any(service => service.ServiceType == typeof(SchedulerPart) && name.Equals(service.ServiceKey))) return quartz;

        quartz.Services.AddKeyedSingleton(name, (_, _) => new SchedulerPart(locks, name));
        quartz.Services.AddSingleton<IHostedService>(services => PartOf(services).StartupCheck);
        // Runs when the rest of the set-up is known, so that it does not matter whether the job store is named before or after this.
        quartz.Services.ConfigureAllQuartzSchedulers(built =>
        {
            if (string.Equals(built.SchedulerName, name, StringComparison.Ordinal)) JobStoreRegistration.Decorate(built, (store, services) => PartOf(services).StandBefore(store, services));
        });
        return quartz
            .AddTriggerListener(Listener)
            .AddJobListener(Listener)
            .AddSchedulerListener(Listener)
            .AddJobMiddleware(Listener)
            .AddPlugin(services => PartOf(services).StartupCheck, JobLockListener.Name);

        JobLockListener Listener(IServiceProvider services) => PartOf(services).ListenerFrom(services);

        SchedulerPart PartOf(IServiceProvider services) => services.GetRequiredKeyedService<SchedulerPart>(name);
    }
}
