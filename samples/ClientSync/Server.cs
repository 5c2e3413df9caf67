using Hangfire;
using Hangfire.PostgreSql;
using JobLocks.Hangfire;
using JobLocks.Quartz;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Npgsql;
using OpenTelemetry.Metrics;
using Quartz;

namespace ClientSync;

/// <summary>One server process: a Hangfire server and a node of a Quartz cluster, over one database.</summary>
internal static class Server
{
    /// <summary>Environment variable with the connection string: a command line would show its password.</summary>
    public const string ConnectionVariable = "CLIENT_SYNC_CONNECTION";

    /// <summary>What the process prints when both schedulers are up, and after it where its metrics are.</summary>
    public const string Ready = "ready ";

    private const int WorkersOfEachScheduler = 4;

    // Short, so that the work of a killed server comes back while one watches.
    private static readonly TimeSpan DeadAfter = TimeSpan.FromSeconds(5);

    public static async Task<int> RunAsync(string name, StrikeFeed feed, CancellationToken stop)
    {
        var connectionString = Environment.GetEnvironmentVariable(ConnectionVariable) ?? throw new InvalidOperationException($"{ConnectionVariable} is not set.");
        var builder = WebApplication.CreateSlimBuilder();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        builder.Logging.ClearProviders().AddConsole(static console => console.LogToStandardErrorThreshold = LogLevel.Trace).SetMinimumLevel(LogLevel.Critical)
            .AddFilter<RefusalRecorder>("JobLocks", LogLevel.Information);
        builder.Services.AddSingleton(new ServerName(name));
        builder.Services.AddSingleton(feed);
        builder.Services.AddSingleton(_ => NpgsqlDataSource.Create(connectionString));
        builder.Services.AddSingleton<ILoggerProvider, RefusalRecorder>();
        builder.Services.AddTransient<StrikeImport>();
        builder.Services.AddTransient<HangfireSync>();

        builder.Services.AddOpenTelemetry().WithMetrics(static metrics => metrics.AddMeter("JobLocks").AddPrometheusExporter());
        builder.Services.AddJobLocks(connectionString, options => options.ApplicationName = $"ClientSync {name}, process {Environment.ProcessId}");

        builder.Services.AddHangfire((services, hangfire) => hangfire
            .UsePostgreSqlStorage(postgres => postgres.UseNpgsqlConnection(connectionString), HangfireStorage)
            .UseJobLocks(services));
        builder.Services.AddHangfireServer(static options =>
        {
            options.WorkerCount = WorkersOfEachScheduler;
            options.SchedulePollingInterval = TimeSpan.FromMilliseconds(500);
        });

        builder.Services.AddQuartz(quartz => ConfigureQuartz(quartz, connectionString, name)
            .UseDefaultThreadPool(WorkersOfEachScheduler)
            .UseJobLocks());
        builder.Services.AddQuartzHostedService();

        await using var app = builder.Build();
        app.MapPrometheusScrapingEndpoint("/metrics");
        await app.StartAsync(stop);
        Console.WriteLine($"{Ready}{app.Urls.First()}/metrics");

        // The parent holds the other end: it closes it to stop us, and the system does when the parent is killed.
        await Console.In.ReadToEndAsync(stop);
        await app.StopAsync(stop);
        return 0;
    }

    /// <summary>Where the parent and the servers keep Hangfire's jobs.</summary>
    public static PostgreSqlStorageOptions HangfireStorage => new()
    {
        SchemaName = Tables.HangfireSchema,
        QueuePollInterval = TimeSpan.FromMilliseconds(200),
        // Hangfire's own locks are rows. Those of a killed server stay for ten minutes unless told otherwise, and one of them stops all due jobs.
        DistributedLockTimeout = DeadAfter,
        InvisibilityTimeout = DeadAfter,
        UseSlidingInvisibilityTimeout = true,
    };

    /// <summary>Where the parent and the servers keep Quartz's jobs.</summary>
    public static IQuartzBuilder ConfigureQuartz(IQuartzBuilder quartz, string connectionString, string name) => quartz
        .ConfigureScheduler(options =>
        {
            options.InstanceName = "ClientSync";
            options.InstanceId = name;
            options.IdleWaitTime = TimeSpan.FromSeconds(1);
        })
        .UsePersistentStore(store => store
            .UsePostgres(NpgsqlFactory.Instance, $"{connectionString};Search Path={Tables.QuartzSchema}")
            .ProvisionSchema()
            .UseClustering(static clustering =>
            {
                clustering.Enabled = true;
                clustering.CheckinInterval = DeadAfter / 5;
                clustering.CheckinMisfireThreshold = DeadAfter / 2;
            }));
}
