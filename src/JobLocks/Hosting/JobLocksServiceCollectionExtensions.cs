using System.Diagnostics.Metrics;
using JobLocks;
using JobLocks.Gate;
using JobLocks.Hosting;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Npgsql;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Puts the locks into the container.</summary>
public static class JobLocksServiceCollectionExtensions
{
    /// <summary>Adds <see cref="IJobLocks"/> over the database of a connection string.</summary>
    /// <param name="services">Receives the locks; they end with the container.</param>
    /// <param name="connectionString">As Npgsql reads it. Behind a pooler, it must lead to session mode or past the pooler.</param>
    /// <param name="configure">Changes the options; they are checked when the host starts.</param>
    /// <returns><paramref name="services"/>. A second call changes options, but not the database.</returns>
    /// <exception cref="ArgumentException">The connection string cannot be read.</exception>
    public static IServiceCollection AddJobLocks(this IServiceCollection services, string connectionString, Action<JobLocksOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentException.ThrowIfNullOrWhiteSpace(connectionString);
        // Read now, so that a mistake in it stops the program at this line and not at the first run.
        _ = new NpgsqlConnectionStringBuilder(connectionString);

        return Add(services, _ => NpgsqlDataSource.Create(connectionString), ownsSource: true, configure);
    }

    /// <summary>Adds <see cref="IJobLocks"/> over the database of a data source.</summary>
    /// <param name="services">Receives the locks; they end with the container.</param>
    /// <param name="dataSource">Stays the caller's to dispose, after the container.</param>
    /// <param name="configure">Changes the options; they are checked when the host starts.</param>
    /// <returns><paramref name="services"/>. A second call changes options, but not the database.</returns>
    public static IServiceCollection AddJobLocks(this IServiceCollection services, NpgsqlDataSource dataSource, Action<JobLocksOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentNullException.ThrowIfNull(dataSource);

        return Add(services, _ => dataSource, ownsSource: false, configure);
    }

    /// <summary>Adds <see cref="IJobLocks"/> over the database of a data source that the container knows.</summary>
    /// <param name="services">Receives the locks; they end with the container.</param>
    /// <param name="dataSource">Finds the data source when the locks are first needed; it is the container's to dispose.</param>
    /// <param name="configure">Changes the options; they are checked when the host starts.</param>
    /// <returns><paramref name="services"/>. A second call changes options, but not the database.</returns>
    public static IServiceCollection AddJobLocks(
        this IServiceCollection services, Func<IServiceProvider, NpgsqlDataSource> dataSource, Action<JobLocksOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentNullException.ThrowIfNull(dataSource);

        return Add(services, dataSource, ownsSource: false, configure);
    }

    private static IServiceCollection Add(
        IServiceCollection services, Func<IServiceProvider, NpgsqlDataSource> source, bool ownsSource, Action<JobLocksOptions>? configure)
    {
        services.AddOptions<JobLocksOptions>().Configure(configure ?? (static _ => { })).ValidateOnStart();
        services.TryAddEnumerable(ServiceDescriptor.Singleton<IValidateOptions<JobLocksOptions>, JobLocksOptionsValidation>());
        services.TryAddSingleton(provider => new AdvisoryLocks(
            source(provider),
            ownsSource,
            provider.GetRequiredService<IOptions<JobLocksOptions>>().Value,
            provider.GetService<ILoggerFactory>(),
            meters: provider.GetService<IMeterFactory>()));
        services.TryAddEnumerable(ServiceDescriptor.Singleton<IHostedService, SessionStart>());
        services.TryAddSingleton<IJobLocks>(static provider => provider.GetRequiredService<AdvisoryLocks>());
        services.TryAddSingleton(static provider => provider.GetRequiredService<AdvisoryLocks>().Inspector);
        services.TryAddSingleton(static provider => JobGate.To(provider.GetRequiredService<IJobLocks>(), provider.GetService<ILoggerFactory>()));
        return services;
    }
}
