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

/// <summary>Adds the locks to the container.</summary>
public static class JobLocksServiceCollectionExtensions
{
    /// <summary>Adds <see cref="IJobLocks"/> in the database of a connection string.</summary>
    /// <param name="services">The services to which the locks are added. The container disposes the locks.</param>
    /// <param name="connectionString">
    /// A connection string of Npgsql. Where a pooler is used, it must address a pooler in session mode, or the server directly.
    /// </param>
    /// <param name="configure">Changes the options. They are validated when the host starts.</param>
    /// <returns><paramref name="services"/>. A second call changes options, but not the database.</returns>
    /// <exception cref="ArgumentException">The connection string is invalid.</exception>
    public static IServiceCollection AddJobLocks(this IServiceCollection services, string connectionString, Action<JobLocksOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentException.ThrowIfNullOrWhiteSpace(connectionString);
        // Parsed now, so that a mistake stops the program at this line and not at the first run.
        _ = new NpgsqlConnectionStringBuilder(connectionString);

        return Add(services, _ => NpgsqlDataSource.Create(connectionString), ownsSource: true, configure);
    }

    /// <summary>Adds <see cref="IJobLocks"/> in the database of a data source.</summary>
    /// <param name="services">The services to which the locks are added. The container disposes the locks.</param>
    /// <param name="dataSource">The data source. The caller disposes it, after the container.</param>
    /// <param name="configure">Changes the options. They are validated when the host starts.</param>
    /// <returns><paramref name="services"/>. A second call changes options, but not the database.</returns>
    public static IServiceCollection AddJobLocks(this IServiceCollection services, NpgsqlDataSource dataSource, Action<JobLocksOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentNullException.ThrowIfNull(dataSource);

        return Add(services, _ => dataSource, ownsSource: false, configure);
    }

    /// <summary>Adds <see cref="IJobLocks"/> in the database of a data source from the container.</summary>
    /// <param name="services">The services to which the locks are added. The container disposes the locks.</param>
    /// <param name="dataSource">Returns the data source when the locks are first needed. The container, not JobLocks, disposes it.</param>
    /// <param name="configure">Changes the options. They are validated when the host starts.</param>
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
