using System.Globalization;
using Hangfire;
using JobLocks.Benchmarks.Children;
using JobLocks.Benchmarks.Schedulers;
using JobLocks.Hangfire;
using Microsoft.Extensions.DependencyInjection;
using Quartz;

namespace JobLocks.Benchmarks.Waiting;

/// <summary>Offers runs of a few names to two processes, and collects who had which lock from when to when.</summary>
internal sealed class WaitingTurn(Bench bench)
{
    private const int Processes = 2;

    /// <param name="way">Who works, and what becomes of those that meet a held lock.</param>
    /// <param name="runs">How many.</param>
    /// <param name="names">Of how many names, in turn.</param>
    /// <param name="milliseconds">How long each holds its lock.</param>
    /// <param name="atMost">After this it is over: what has run until then counts.</param>
    /// <param name="stop">Ends it.</param>
    public async Task<IReadOnlyList<Held>> RunAsync(WaitingWay way, int runs, int names, int milliseconds, TimeSpan atMost, CancellationToken stop)
    {
        await using var schema = await Schema.CreateAsync(bench.Database, "waiting", stop);
        await OfferAsync(schema.ConnectionString, way, runs, names, milliseconds, stop);

        var servers = Enumerable.Range(0, Processes).Select(i => ChildProcess.Start(schema.ConnectionString, WaitingServer.Verb, way.ToString(), $"node-{i}")).ToList();
        try
        {
            using var patience = CancellationTokenSource.CreateLinkedTokenSource(stop);
            var held = new List<Held>();
            var all = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            var reading = servers.Select(server => ReadAsync(server, held, runs, all, patience.Token)).ToList();
            await Task.WhenAny(all.Task, Task.Delay(atMost, stop));
            await patience.CancelAsync();
            await Task.WhenAll(reading);
            return held;
        }
        finally
        {
            foreach (var server in servers) await server.DisposeAsync();
        }
    }

    private static async Task ReadAsync(ChildProcess server, List<Held> held, int runs, TaskCompletionSource all, CancellationToken stop)
    {
        try
        {
            while (await server.AnswerAsync(stop) is { } line)
            {
                if (!line.StartsWith("out ", StringComparison.Ordinal)) continue;

                lock (held)
                {
                    held.Add(Held.Read(line));
                    if (held.Count == runs) all.TrySetResult();
                }
            }
        }
        catch (OperationCanceledException)
        {
            // All have run, or it took too long.
        }
    }

    private static async Task OfferAsync(string connectionString, WaitingWay way, int runs, int names, int milliseconds, CancellationToken stop)
    {
        await using var locks = AdvisoryLocks.Connect(connectionString);
        var storage = WaitingServer.UsesHangfire(way) ? WaitingServer.Storage(connectionString) : null;
        if (storage is not null) new WaitingServer.StorageConfiguration(storage).UseJobLocks(locks);
        var client = storage is null ? null : new BackgroundJobClient(storage);
        await using var services = WaitingServer.UsesQuartz(way) ? WaitingServer.QuartzServices(connectionString, locks, "parent") : null;
        var scheduler = services is null ? null : await services.GetRequiredService<ISchedulerFactory>().GetScheduler(stop);

        foreach (var byName in Enumerable.Range(0, runs).GroupBy(i => (i % names).ToString(CultureInfo.InvariantCulture), StringComparer.Ordinal))
        {
            var forHangfire = byName.Where(number => way == WaitingWay.BothLine ? number / names % 2 == 0 : client is not null).ToList();
            foreach (var number in forHangfire) Enqueue(client!, way, byName.Key, number, milliseconds);
            var forQuartz = byName.Except(forHangfire).ToList();
            if (way == WaitingWay.QuartzOwn) await ScheduleAsync<OwnQuartzJob>(scheduler!, byName.Key, forQuartz, milliseconds, stop);
            else if (forQuartz.Count > 0) await ScheduleAsync<WaitingQuartzJob>(scheduler!, byName.Key, forQuartz, milliseconds, stop);
        }

        if (scheduler is not null) await scheduler.Shutdown(waitForJobsToComplete: false, stop);
    }

    private static void Enqueue(BackgroundJobClient client, WaitingWay way, string name, int number, int milliseconds)
    {
        switch (way)
        {
            case WaitingWay.HangfireOwn:
                client.Enqueue<WaitingJobs>(jobs => jobs.Block(name, number, milliseconds));
                break;
            case WaitingWay.HangfireReschedule:
                client.Enqueue<WaitingJobs>(jobs => jobs.Reschedule(name, number, milliseconds));
                break;
            default:
                client.Enqueue<WaitingJobs>(jobs => jobs.Wait(name, number, milliseconds));
                break;
        }
    }

    /// <summary>Quartz itself keeps apart the runs of one job key: those of one name share a job.</summary>
    private static async Task ScheduleAsync<TJob>(IScheduler scheduler, string name, IReadOnlyList<int> numbers, int milliseconds, CancellationToken stop)
        where TJob : IJob
    {
        var job = JobBuilder.Create<TJob>().WithIdentity($"job-{name}").StoreDurably().Build();
        var triggers = numbers.Select(number => TriggerBuilder.Create<TJob>()
            .WithIdentity(string.Create(CultureInfo.InvariantCulture, $"{number}"))
            .ForJob(job)
            .UsingJobData("name", name)
            .UsingJobData("number", number)
            .UsingJobData("milliseconds", milliseconds)
            .StartNow()
            .Build());
        await scheduler.ScheduleJob(job, triggers.ToList(), cancellationToken: stop);
    }
}
