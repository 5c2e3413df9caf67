using System.Collections.Concurrent;
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

    /// <summary>The run that is shown so as a holder; 0 for none, and for a job that is not one run's alone.</summary>
    public int RunOf(string holder)
    {
        var words = holder.Split(' ');
        return IsOfHangfire(words[0]) ? _hangfireRuns.GetValueOrDefault(words[2]) : QuartzOffers.RunOf(words[2]);
    }

    /// <summary>The run for which a job was made, given the scheduler and its name for the job; 0 where it is not known.</summary>
    public int RunOf(string scheduler, string job) => IsOfHangfire(scheduler) ? _hangfireRuns.GetValueOrDefault(job) : QuartzOffers.FirstRunOf(job);

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

        var quartz = await built.GetRequiredService<ISchedulerFactory>().GetScheduler(stop);
        await QuartzOffers.PrepareCountersAsync(quartz, stop);
        return new(built, quartz);
    }

    /// <summary>Offers one run, several that count, or a parent with its continuations.</summary>
    public Task OfferAsync(IReadOnlyList<Offer> family, CancellationToken stop)
    {
        foreach (var offer in family)
        {
            _all[offer.Number] = offer;
            if (offer.Makes is { } made) _all[made.Number] = made;
        }

        if (!family[0].IsForHangfire) return QuartzOffers.OfferAsync(_quartz, family, stop);

        var parent = "";
        foreach (var offer in family)
        {
            parent = offer.Parent == 0 ? HangfireOffers.Enqueue(_hangfire, offer) : HangfireOffers.ContinueWith(_hangfire, parent, offer);
            _hangfireRuns[parent] = offer.Number;
        }

        return Task.CompletedTask;
    }

    /// <summary>Deletes a job of Hangfire, if it waits.</summary>
    /// <returns>Its run; 0 where it does not wait any more.</returns>
    public int Delete(string jobId) =>
        _hangfireRuns.TryGetValue(jobId, out var run) && _hangfire.ChangeState(jobId, new DeletedState(), ScheduledState.StateName) ? run : 0;

    private static bool IsOfHangfire(string scheduler) => scheduler.StartsWith("Hangfire", StringComparison.Ordinal);

    public async ValueTask DisposeAsync()
    {
        await _quartz.Shutdown();
        await _services.DisposeAsync();
    }
}
