using Hangfire;
using Hangfire.PostgreSql;
using JobLocks.Hangfire;
using JobLocks.Quartz;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Npgsql;
using Quartz;

namespace JobLocks.Chaos;

/// <summary>One process that works: a Hangfire server and a node of a Quartz cluster.</summary>
internal static class Server
{
    public const string Verb = "serve";
    public const string Ready = "ready";
    public const string ConnectionVariable = "JOBLOCKS_CHAOS_CONNECTION";
    public const string ApplicationVariable = "JOBLOCKS_CHAOS_APPLICATION";

    /// <summary>The application that is there from the beginning to the end. Its schemas begin so.</summary>
    public const string MainApplication = "chaos";

    public const string Standby = "standby";
    public const string Resume = "resume";

    private const int Workers = 5;

    // Short, so that the work of a killed process comes back while one watches.
    private static readonly TimeSpan DeadAfter = TimeSpan.FromSeconds(5);

    public static async Task<int> RunAsync(string name, CancellationToken stop)
    {
        var connectionString = Environment.GetEnvironmentVariable(ConnectionVariable)!;
        var application = Environment.GetEnvironmentVariable(ApplicationVariable)!;
        var builder = Host.CreateApplicationBuilder();
        builder.Logging.ClearProviders().AddConsole(static console => console.LogToStandardErrorThreshold = LogLevel.Trace).SetMinimumLevel(LogLevel.Critical);
        // The history is kept whatever becomes of a run's ambient transaction.
        builder.Services.AddSingleton(_ => NpgsqlDataSource.Create($"{connectionString};Enlist=false"));
        builder.Services.AddSingleton<History>();
        builder.Services.AddSingleton(services => new Work(services.GetRequiredService<History>(), name));
        builder.Services.AddTransient<HangfireJobs>();
        builder.Services.AddTransient<HangfireTransactedJobs>();
        builder.Services.AddJobLocks(connectionString, options => options.ApplicationName = name);
        builder.Services.AddHangfire((services, hangfire) => hangfire.UsePostgreSqlStorage(postgres => postgres.UseNpgsqlConnection(connectionString), HangfireStorage(application)).UseJobLocks(services));
        builder.Services.AddHangfireServer(static options =>
        {
            options.WorkerCount = Workers;
            options.SchedulePollingInterval = TimeSpan.FromMilliseconds(500);
        });
        builder.Services.AddQuartz(quartz => ConfigureQuartz(quartz, connectionString, application, name).UseDefaultThreadPool(Workers).UseJobLocks());
        builder.Services.AddQuartzHostedService();

        using var host = builder.Build();
        await host.StartAsync(stop);
        Console.WriteLine(Ready);
        await ObeyAsync(await host.Services.GetRequiredService<ISchedulerFactory>().GetScheduler(stop), stop);
        await host.StopAsync(stop);
        return 0;
    }

    public static PostgreSqlStorageOptions HangfireStorage(string application) => new()
    {
        SchemaName = $"{application}_hangfire",
        QueuePollInterval = TimeSpan.FromMilliseconds(200),
        DistributedLockTimeout = DeadAfter,
        InvisibilityTimeout = DeadAfter,
        UseSlidingInvisibilityTimeout = true,
    };

    public static IQuartzBuilder ConfigureQuartz(IQuartzBuilder quartz, string connectionString, string application, string name) => quartz
        .ConfigureScheduler(options =>
        {
            options.InstanceName = application;
            options.InstanceId = name;
            options.IdleWaitTime = TimeSpan.FromSeconds(1);
        })
        .UsePersistentStore(store => store
            .UsePostgres(NpgsqlFactory.Instance, $"{connectionString};Search Path={application}_quartz")
            .ProvisionSchema()
            .UseClustering(static clustering =>
            {
                clustering.Enabled = true;
                clustering.CheckinInterval = DeadAfter / 5;
                clustering.CheckinMisfireThreshold = DeadAfter / 2;
            }));

    /// <summary>Until there is nothing more to be told.</summary>
    private static async Task ObeyAsync(IScheduler scheduler, CancellationToken stop)
    {
        while (await Console.In.ReadLineAsync(stop) is { } told)
        {
            if (string.Equals(told, Standby, StringComparison.Ordinal)) await scheduler.Standby(stop);
            else await scheduler.Start(stop);
            Console.WriteLine(Ready);
        }
    }
}
