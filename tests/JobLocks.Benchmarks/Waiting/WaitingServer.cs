using Hangfire;
using Hangfire.PostgreSql;
using Hangfire.PostgreSql.Factories;
using JobLocks.Hangfire;
using JobLocks.Quartz;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Npgsql;
using Quartz;

namespace JobLocks.Benchmarks.Waiting;

/// <summary>A process that works on what was offered: a Hangfire server, a node of a Quartz cluster, or both, with the settings they have by themselves.</summary>
internal static class WaitingServer
{
    public const string Verb = "serve";
    public const string Ready = "ready";

    public static async Task<int> RunAsync(string connectionString, WaitingWay way, string node, CancellationToken stop)
    {
        await using var locks = AdvisoryLocks.Connect(connectionString, options => options.ApplicationName = node);
        using var hangfire = UsesHangfire(way) ? StartHangfire(connectionString, locks, node) : null;
        await using var services = UsesQuartz(way) ? QuartzServices(connectionString, locks, node) : null;
        var scheduler = services is null ? null : await services.GetRequiredService<ISchedulerFactory>().GetScheduler(stop);
        if (scheduler is not null) await scheduler.Start(stop);
        Console.WriteLine(Ready);

        // The parent holds the other end.
        await Console.In.ReadToEndAsync(stop);
        if (scheduler is not null) await scheduler.Shutdown(waitForJobsToComplete: true, CancellationToken.None);
        hangfire?.SendStop();
        return 0;
    }

    public static bool UsesHangfire(WaitingWay way) => way is not (WaitingWay.QuartzLine or WaitingWay.QuartzOwn);

    public static bool UsesQuartz(WaitingWay way) => way is WaitingWay.QuartzLine or WaitingWay.QuartzOwn or WaitingWay.BothLine;

    public static PostgreSqlStorage Storage(string connectionString)
    {
        var options = new PostgreSqlStorageOptions { SchemaName = new NpgsqlConnectionStringBuilder(connectionString).SearchPath! };
        return new(new NpgsqlConnectionFactory(connectionString, options), options);
    }

    public static ServiceProvider QuartzServices(string connectionString, IJobLocks locks, string node)
    {
        var services = new ServiceCollection();
        services.AddLogging(static logging => logging.SetMinimumLevel(LogLevel.None));
        services.AddQuartz(quartz => quartz
            .ConfigureScheduler(options =>
            {
                options.InstanceName = "benchmark";
                options.InstanceId = node;
            })
            .UsePersistentStore(store => store
                .UsePostgres(NpgsqlFactory.Instance, connectionString)
                .ProvisionSchema()
                .UseClustering(static clustering => clustering.Enabled = true))
            .UseJobLocks(locks));
        return services.BuildServiceProvider();
    }

    private static BackgroundJobServer StartHangfire(string connectionString, AdvisoryLocks locks, string node)
    {
        var storage = Storage(connectionString);
        new StorageConfiguration(storage).UseJobLocks(locks);
        return new(new() { ServerName = node }, storage);
    }

    internal sealed record StorageConfiguration(PostgreSqlStorage Entry) : IGlobalConfiguration<PostgreSqlStorage>;
}
