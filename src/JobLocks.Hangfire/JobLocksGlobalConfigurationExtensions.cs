using Hangfire;
using JobLocks.Gate;
using JobLocks.Hangfire.Dashboard;
using Microsoft.Extensions.DependencyInjection;

namespace JobLocks.Hangfire;

/// <summary>Tells Hangfire which locks <c>[JobLock]</c> takes.</summary>
public static class JobLocksGlobalConfigurationExtensions
{
    /// <summary>Uses the locks that <c>services.AddJobLocks(…)</c> put into the container.</summary>
    /// <param name="configuration">
    /// Hangfire's configuration. Right after <c>UsePostgreSqlStorage(…)</c>, the locks belong to that storage;
    /// on a configuration without one, to the current storage and to every storage that has none of its own.
    /// </param>
    /// <param name="services">The container; it owns the locks.</param>
    /// <returns><paramref name="configuration"/>.</returns>
    /// <exception cref="JobLocksNotConfiguredException"><c>AddJobLocks</c> was not called.</exception>
    public static IGlobalConfiguration UseJobLocks(this IGlobalConfiguration configuration, IServiceProvider services)
    {
        ArgumentNullException.ThrowIfNull(configuration);
        ArgumentNullException.ThrowIfNull(services);

        return Use(configuration, services.GetService<JobGate>() ?? throw new JobLocksNotConfiguredException(
            "Hangfire is told to use JobLocks, but the container has none. Add services.AddJobLocks(connectionString)."));
    }

    /// <summary>Uses locks that were made without a container.</summary>
    /// <param name="configuration">
    /// Hangfire's configuration. Right after <c>UsePostgreSqlStorage(…)</c>, the locks belong to that storage;
    /// on a configuration without one, to the current storage and to every storage that has none of its own.
    /// </param>
    /// <param name="locks">From <see cref="AdvisoryLocks"/>; stays the caller's to dispose, after the servers.</param>
    /// <returns><paramref name="configuration"/>.</returns>
    /// <exception cref="ArgumentException"><paramref name="locks"/> cannot lock runs.</exception>
    public static IGlobalConfiguration UseJobLocks(this IGlobalConfiguration configuration, IJobLocks locks)
    {
        ArgumentNullException.ThrowIfNull(configuration);
        ArgumentNullException.ThrowIfNull(locks);

        return Use(configuration, JobGate.To(locks, (locks as AdvisoryLocks)?.Loggers));
    }

    private static IGlobalConfiguration Use(IGlobalConfiguration configuration, JobGate gate)
    {
        LocksDashboard.AddTo(configuration);
        if (configuration is IGlobalConfiguration<JobStorage> { Entry: { } storage })
        {
            ConfiguredGates.Set(storage, gate);
            return configuration;
        }

        if (CurrentStorage() is { } current) ConfiguredGates.Set(current, gate);
        ConfiguredGates.SetDefault(gate);
        return configuration;
    }

    private static JobStorage? CurrentStorage()
    {
        try
        {
            return JobStorage.Current;
        }
        catch (InvalidOperationException)
        {
            // Hangfire has no other way to ask whether a storage was set.
            return null;
        }
    }
}
