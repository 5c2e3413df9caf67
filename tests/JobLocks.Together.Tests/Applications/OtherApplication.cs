using Hangfire;
using Hangfire.InMemory;
using Hangfire.PostgreSql;
using Hangfire.PostgreSql.Factories;
using Hangfire.States;
using JobLocks.Hangfire;
using JobLocks.Quartz;
using Microsoft.Extensions.DependencyInjection;
using Quartz;

namespace JobLocks.Together.Tests.Applications;

/// <summary>What another process runs that is started from this assembly: see <see cref="ApplicationProcess"/>.</summary>
internal static class OtherApplication
{
    /// <summary>Jobs of both schedulers that are kept in memory and wait for the lock of a client.</summary>
    public const string InMemory = "memory";

    /// <summary>Holds the lock of a client by hand. It has a storage of Hangfire, and a server for one queue or none.</summary>
    public const string Holder = "hold";

    /// <summary>What it says when it has done what it was told.</summary>
    public const string Done = "done";

    public const string Release = "release";
    public const string StopServer = "stop";

    private static readonly TimeSpan NotDuringATest = TimeSpan.FromMinutes(5);

    public static async Task<int> Main(string[] arguments)
    {
        var (kind, connectionString, client) = (arguments[0], arguments[1], arguments[2]);
        await using var locks = AdvisoryLocks.Connect(connectionString, options => options.ApplicationName = kind);
        if (string.Equals(kind, InMemory, StringComparison.Ordinal)) await WaitInMemoryAsync(locks, client);
        else await HoldAsync(locks, StorageIn(connectionString, arguments[3]), client, arguments[4]);
        return 0;
    }

    /// <summary>A storage whose workers look into their queues by themselves so seldom that a test does not see it.</summary>
    public static PostgreSqlStorage StorageIn(string connectionString, string schema)
    {
        var options = new PostgreSqlStorageOptions { SchemaName = schema, QueuePollInterval = NotDuringATest };
        return new(new NpgsqlConnectionFactory(connectionString, options), options);
    }

    private static async Task WaitInMemoryAsync(AdvisoryLocks locks, string client)
    {
        using var storage = new InMemoryStorage();
        storage.UseJobLocks(locks);
        using var server = new BackgroundJobServer(new BackgroundJobServerOptions { WorkerCount = 1 }, storage);
        new BackgroundJobClient(storage).Enqueue<HangfireSync>(sync => sync.QueuedRun(client));

        var services = new ServiceCollection();
        services.AddLogging();
        services.AddSingleton<IJobLocks>(locks);
        services.AddQuartz(quartz => quartz.UseJobLocks(locks));
        await using var provider = services.BuildServiceProvider();
        var scheduler = await provider.GetRequiredService<ISchedulerFactory>().GetScheduler();
        await scheduler.Start();
        await scheduler.ScheduleJob(JobBuilder.Create<QuartzInLine>().Build(), TriggerBuilder.Create().UsingJobData("client", client).StartNow().Build());
        Console.WriteLine(Done);
        await Console.In.ReadLineAsync();
    }

    private static async Task HoldAsync(AdvisoryLocks locks, PostgreSqlStorage storage, string client, string queue)
    {
        storage.UseJobLocks(locks);
        var server = queue.Length == 0 ? null : new BackgroundJobServer(new BackgroundJobServerOptions { WorkerCount = 2, Queues = [queue] }, storage);
        if (server is not null)
        {
            new BackgroundJobClient(storage).Create<Occupation>(occupation => occupation.Occupy(CancellationToken.None), new EnqueuedState(queue));
            await Occupation.Begun;
        }

        var held = await locks.TryAcquireAsync($"sync({client})") ?? throw new InvalidOperationException("The lock is not free.");
        Console.WriteLine(Done);
        while (await Console.In.ReadLineAsync() is { } told)
        {
            if (string.Equals(told, StopServer, StringComparison.Ordinal))
            {
                server!.SendStop();
                await Occupation.Told;
            }
            else
            {
                await held.DisposeAsync();
            }

            Console.WriteLine(Done);
        }
    }

    /// <summary>Takes one worker of the server for good: a server without runs would end at once when it is told to stop.</summary>
    public sealed class Occupation
    {
        private static readonly TaskCompletionSource Entered = new(TaskCreationOptions.RunContinuationsAsynchronously);

        private static readonly TaskCompletionSource Stopped = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public static Task Begun => Entered.Task;

        /// <summary>Ends when Hangfire has told the run that its server stops.</summary>
        public static Task Told => Stopped.Task;

        public async Task Occupy(CancellationToken stop)
        {
            Entered.TrySetResult();
            await using var told = stop.Register(static () => Stopped.TrySetResult());
            await Task.Delay(Timeout.InfiniteTimeSpan, CancellationToken.None);
        }
    }
}
