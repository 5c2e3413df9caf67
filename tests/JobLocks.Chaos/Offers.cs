using System.Collections.Concurrent;
using System.Globalization;
using Hangfire;
using Hangfire.PostgreSql;
using Hangfire.States;
using JobLocks.Hangfire;
using Microsoft.Extensions.DependencyInjection;
using Quartz;

namespace JobLocks.Chaos;

/// <summary>Offers runs to both schedulers, and deletes some that wait.</summary>
internal sealed class Offers : IAsyncDisposable
{
    private readonly ServiceProvider _services;
    private readonly IScheduler _quartz;
    private readonly IBackgroundJobClient _hangfire;
    private readonly ConcurrentDictionary<int, Offer> _all = new();
    private readonly ConcurrentDictionary<string, int> _hangfireRuns = new(StringComparer.Ordinal);

    private Offers(ServiceProvider services, IScheduler quartz)
    {
        _services = services;
        _quartz = quartz;
        _hangfire = services.GetRequiredService<IBackgroundJobClient>();
    }

    public IReadOnlyDictionary<int, Offer> All => _all;

    /// <summary>Looks at the locks of all processes.</summary>
    public IJobLockInspector Inspector => _services.GetRequiredService<IJobLockInspector>();

    /// <summary>The run that is shown so as a holder; 0 for none.</summary>
    public int RunOf(string holder)
    {
        var id = holder.Split(' ')[2];
        if (holder.StartsWith("Hangfire", StringComparison.Ordinal)) return _hangfireRuns.GetValueOrDefault(id);

        return int.TryParse(id.Split('-')[^1], CultureInfo.InvariantCulture, out var number) ? number : 0;
    }

    public static async Task<Offers> PrepareAsync(string connectionString, CancellationToken stop)
    {
        var services = new ServiceCollection();
        services.AddLogging();
        services.AddJobLocks(connectionString, static options => options.ApplicationName = "offers");
        services.AddHangfire((provider, hangfire) => hangfire.UsePostgreSqlStorage(postgres => postgres.UseNpgsqlConnection(connectionString), Server.HangfireStorage).UseJobLocks(provider));
        services.AddQuartz(quartz => Server.ConfigureQuartz(quartz, connectionString, "offers"));
        var built = services.BuildServiceProvider();
        // Prepares the schema.
        await using (await built.GetRequiredService<IJobLocks>().TryAcquireAsync("prepare", stop))
        {
        }

        return new(built, await built.GetRequiredService<ISchedulerFactory>().GetScheduler(stop));
    }

    public Task OfferAsync(string name, string second, Kind kind, bool forHangfire, int milliseconds, CancellationToken stop)
    {
        var offer = new Offer(_all.Count + 1, name, second, kind, forHangfire, milliseconds);
        _all[offer.Number] = offer;
        if (!forHangfire) return ScheduleAsync(offer, stop);

        _hangfireRuns[Enqueue(offer)] = offer.Number;
        return Task.CompletedTask;
    }

    /// <summary>Deletes a job of Hangfire, if it waits.</summary>
    /// <returns>Its run; 0 where it does not wait any more.</returns>
    public int Delete(string jobId) =>
        _hangfireRuns.TryGetValue(jobId, out var run) && _hangfire.ChangeState(jobId, new DeletedState(), ScheduledState.StateName) ? run : 0;

    public async ValueTask DisposeAsync()
    {
        await _quartz.Shutdown();
        await _services.DisposeAsync();
    }

    private string Enqueue(Offer offer) => offer.Kind switch
    {
        Kind.Shared => _hangfire.Enqueue<HangfireJobs>(jobs => jobs.Shared(offer.Number, offer.Name, offer.Milliseconds, null!, CancellationToken.None)),
        Kind.OfTwo => _hangfire.Enqueue<HangfireJobs>(jobs => jobs.OfTwo(offer.Number, offer.Name, offer.Milliseconds, null!, CancellationToken.None)),
        Kind.Both => _hangfire.Enqueue<HangfireJobs>(jobs => jobs.Both(offer.Number, offer.Name, offer.Second, offer.Milliseconds, null!, CancellationToken.None)),
        _ => _hangfire.Enqueue<HangfireJobs>(jobs => jobs.Alone(offer.Number, offer.Name, offer.Milliseconds, null!, CancellationToken.None)),
    };

    private async Task ScheduleAsync(Offer offer, CancellationToken stop)
    {
        var type = offer.Kind switch { Kind.Shared => typeof(QuartzShared), Kind.OfTwo => typeof(QuartzOfTwo), Kind.Both => typeof(QuartzBoth), _ => typeof(QuartzAlone) };
        var job = JobBuilder.Create().OfType(type).WithIdentity(string.Create(CultureInfo.InvariantCulture, $"run-{offer.Number}")).RequestRecovery().Build();
        var trigger = TriggerBuilder.Create()
            .UsingJobData("run", offer.Number)
            .UsingJobData("name", offer.Name)
            .UsingJobData("second", offer.Second)
            .UsingJobData("milliseconds", offer.Milliseconds)
            .WithRetryPolicy(RetryPolicy.Fixed(100, TimeSpan.FromSeconds(1)))
            .StartNow()
            .Build();
        await _quartz.ScheduleJob(job, trigger, cancellationToken: stop);
    }
}
