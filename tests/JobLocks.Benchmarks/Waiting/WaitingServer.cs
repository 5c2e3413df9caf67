using System.Globalization;
using Hangfire;
using Hangfire.PostgreSql;
using Hangfire.PostgreSql.Factories;
using JobLocks.Benchmarks.Children;
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
    public const string Offer = "offer";

    /// <summary>The orders to take a lock by hand and to release it, and what is said then. <see cref="Released"/> has the time before the release.</summary>
    public const string Hold = "hold";
    public const string Holds = "holds";
    public const string Release = "release";
    public const string Released = "released";

    public static async Task<int> RunAsync(string connectionString, WaitingWay way, string node, CancellationToken stop)
    {
        await using var locks = AdvisoryLocks.Connect(connectionString, options =>
        {
            options.ApplicationName = node;
            if (way == WaitingWay.HangfirePark) options.LongestWaitInWorker = TimeSpan.Zero;
        });
        var storage = UsesHangfire(way) ? Storage(connectionString, locks) : null;
        using var hangfire = storage is null ? null : new BackgroundJobServer(new() { ServerName = node }, storage);
        await using var services = UsesQuartz(way) ? QuartzServices(connectionString, locks, node) : null;
        var scheduler = services is null ? null : await services.GetRequiredService<ISchedulerFactory>().GetScheduler(stop);
        if (scheduler is not null) await scheduler.Start(stop);
        Console.WriteLine(Ready);

        var supply = new WaitingSupply(way, storage is null ? null : new BackgroundJobClient(storage), scheduler);
        JobLockHandle? held = null;
        while (await Console.In.ReadLineAsync(stop) is { } order)
        {
            if (order.StartsWith(Hold, StringComparison.Ordinal))
            {
                held = await locks.TryAcquireAsync(order[(Hold.Length + 1)..], stop);
                Console.WriteLine(Holds);
            }
            else if (order.StartsWith(Release, StringComparison.Ordinal))
            {
                Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{Released} {Clock.Now}"));
                await held!.DisposeAsync();
            }
            else
            {
                await supply.OfferAsync(WaitingOffer.Read(order[(Offer.Length + 1)..]), stop);
            }
        }

        // The parent has closed the other end.
        if (scheduler is not null) await scheduler.Shutdown(waitForJobsToComplete: true, CancellationToken.None);
        hangfire?.SendStop();
        return 0;
    }

    private static bool UsesHangfire(WaitingWay way) => way is not (WaitingWay.QuartzLine or WaitingWay.QuartzOwn or WaitingWay.QuartzChain or WaitingWay.QuartzBare);

    private static bool UsesQuartz(WaitingWay way) => way is WaitingWay.QuartzLine or WaitingWay.QuartzOwn or WaitingWay.QuartzChain or WaitingWay.QuartzBare or WaitingWay.BothLine;

    private static PostgreSqlStorage Storage(string connectionString, IJobLocks locks)
    {
        var options = new PostgreSqlStorageOptions { SchemaName = new NpgsqlConnectionStringBuilder(connectionString).SearchPath! };
        var storage = new PostgreSqlStorage(new NpgsqlConnectionFactory(connectionString, options), options);
        new StorageConfiguration(storage).UseJobLocks(locks);
        return storage;
    }

    private static ServiceProvider QuartzServices(string connectionString, IJobLocks locks, string node)
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

    private sealed record StorageConfiguration(PostgreSqlStorage Entry) : IGlobalConfiguration<PostgreSqlStorage>;
}
