using Hangfire;
using JobLocks.Gate;
using JobLocks.Hangfire.Dashboard;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace JobLocks.Hangfire;

/// <summary>Connects Hangfire to the locks that <c>[JobLock]</c> acquires.</summary>
public static class JobLocksGlobalConfigurationExtensions
{
    /// <summary>Uses the locks that <c>services.AddJobLocks(…)</c> registered in the container.</summary>
    /// <param name="configuration">
    /// Hangfire's configuration. Directly after <c>UsePostgreSqlStorage(…)</c>, the locks belong to that storage. On a configuration without a storage, they
    /// belong to the storage of this container. They are also the default for every storage without locks, even for a storage of another host, until that
    /// host calls <c>UseJobLocks</c>.
    /// </param>
    /// <param name="services">The container. It owns the locks and disposes them.</param>
    /// <returns><paramref name="configuration"/>.</returns>
    /// <exception cref="JobLocksNotConfiguredException"><c>AddJobLocks</c> was not called.</exception>
    public static IGlobalConfiguration UseJobLocks(this IGlobalConfiguration configuration, IServiceProvider services)
    {
        ArgumentNullException.ThrowIfNull(configuration);
        ArgumentNullException.ThrowIfNull(services);

        var gate = services.GetService<JobGate>() ?? throw new JobLocksNotConfiguredException(
            "Hangfire is told to use JobLocks, but the container has none. Add services.AddJobLocks(connectionString).");
        return Use(configuration, gate, services);
    }

    /// <summary>Uses locks that were created without a container.</summary>
    /// <param name="configuration">
    /// Hangfire's configuration. Directly after <c>UsePostgreSqlStorage(…)</c>, the locks belong to that storage. On a configuration without a storage, they
    /// belong to the current storage, or to the next current storage if this one already has locks. They are also the default for every storage without
    /// locks, even for a storage of another host, until that host calls <c>UseJobLocks</c>.
    /// </param>
    /// <param name="locks">Created by <see cref="AdvisoryLocks"/>. The caller disposes them, after the servers have stopped.</param>
    /// <returns><paramref name="configuration"/>.</returns>
    /// <exception cref="ArgumentException"><paramref name="locks"/> was not created by <see cref="AdvisoryLocks"/>, so it cannot lock runs.</exception>
    public static IGlobalConfiguration UseJobLocks(this IGlobalConfiguration configuration, IJobLocks locks)
    {
        ArgumentNullException.ThrowIfNull(configuration);
        ArgumentNullException.ThrowIfNull(locks);

        return Use(configuration, GateTo(locks));
    }

    /// <summary>Uses locks for one storage, whether or not it is the current storage of the process.</summary>
    /// <typeparam name="TStorage">The storage's type.</typeparam>
    /// <param name="storage">A storage that the application creates and passes to servers and clients, for example one of two storages in a process.</param>
    /// <param name="locks">Created by <see cref="AdvisoryLocks"/>. The caller disposes them, after the servers have stopped.</param>
    /// <returns><paramref name="storage"/>.</returns>
    /// <exception cref="ArgumentException"><paramref name="locks"/> was not created by <see cref="AdvisoryLocks"/>, so it cannot lock runs.</exception>
    public static TStorage UseJobLocks<TStorage>(this TStorage storage, IJobLocks locks)
        where TStorage : JobStorage
    {
        ArgumentNullException.ThrowIfNull(storage);
        ArgumentNullException.ThrowIfNull(locks);

        RefusalFilter.Use();
        ConfiguredGates.Set(storage, GateTo(locks));
        return storage;
    }

    private static JobGate GateTo(IJobLocks locks) => JobGate.To(locks, (locks as AdvisoryLocks)?.Loggers);

    private static IGlobalConfiguration Use(IGlobalConfiguration configuration, JobGate gate, IServiceProvider? services = null)
    {
        RefusalFilter.Use();
        LocksDashboard.AddTo(configuration);
        if (services?.GetService<IHostApplicationLifetime>() is { } host) ConfiguredGates.SetHostStopping(gate, host.ApplicationStopping);
        if (configuration is IGlobalConfiguration<JobStorage> { Entry: { } storage }) ConfiguredGates.Set(storage, gate);
        else if (services?.GetService<IServiceProviderIsService>()?.IsService(typeof(JobStorage)) == true) ConfiguredGates.SetHost(gate, services.GetService<JobStorage>);
        else ConfiguredGates.SetDefault(gate);
        return configuration;
    }
}
