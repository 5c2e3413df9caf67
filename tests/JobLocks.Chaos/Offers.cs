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

    private readonly History _history;

    private Offers(ServiceProvider services, IScheduler quartz, History history)
    {
        _history = history;
        _services = services;
        _quartz = quartz;
        _hangfire = services.GetRequiredService<IBackgroundJobClient>();
    }

    public IReadOnlyDictionary<int, Offer> All => _all;

    /// <summary>These were offered elsewhere.</summary>
    public void Add(IReadOnlyDictionary<int, Offer> others)
    {
        foreach (var (number, offer) in others) _all[number] = offer;
    }

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

    /// <summary>Whether a place in the wait queue is that of a run of an application that was stopped for good.</summary>
    public bool IsOfGuest(string scheduler, string job) => IsOfHangfire(scheduler)
        ? long.Parse(job, CultureInfo.InvariantCulture) >= Guest.FirstJobOf
        : _all.TryGetValue(QuartzOffers.FirstRunOf(job), out var offer) && offer.IsOfGuest;

    public static async Task<Offers> PrepareAsync(string connectionString, string application, History history, CancellationToken stop)
    {
        var services = new ServiceCollection();
        services.AddLogging();
        services.AddJobLocks(connectionString, options => options.ApplicationName = $"offers of {application}");
        services.AddHangfire((provider, hangfire) => hangfire.UsePostgreSqlStorage(postgres => postgres.UseNpgsqlConnection(connectionString), Server.HangfireStorage(application)).UseJobLocks(provider));
        services.AddQuartz(quartz => Server.ConfigureQuartz(quartz, connectionString, application, "offers"));
        var built = services.BuildServiceProvider();
        // Prepares the schema.
        await using (await built.GetRequiredService<IJobLocks>().TryAcquireAsync("prepare", stop))
        {
        }

        var quartz = await built.GetRequiredService<ISchedulerFactory>().GetScheduler(stop);
        await QuartzOffers.PrepareCountersAsync(quartz, stop);
        return new(built, quartz, history);
    }

    /// <summary>Offers one run, several that count, or a parent with its continuations.</summary>
    public Task OfferAsync(IReadOnlyList<Offer> family, CancellationToken stop)
    {
        foreach (var offer in family)
        {
            _all[offer.Number] = offer;
            if (offer.Makes is { } made) _all[made.Number] = made;
            _history.Add(Act.Offer, "", offer.Number);
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

    /// <summary>Whatever Quartz has, by its own means. The jobs that count are made anew.</summary>
    public async Task ClearQuartzAsync(CancellationToken stop)
    {
        await _quartz.Clear(stop);
        await QuartzOffers.PrepareCountersAsync(_quartz, stop);
    }

    /// <summary>Deletes a run and at once gives it to its scheduler again: with Quartz under the same keys, with Hangfire by the same call.</summary>
    public async Task AgainAsync(Offer offer, CancellationToken stop)
    {
        if (offer.IsForHangfire)
        {
            var job = _hangfireRuns.First(one => one.Value == offer.Number).Key;
            if (!_hangfire.ChangeState(job, new DeletedState(), ScheduledState.StateName)) return;

            _history.Add(Act.Again, "", offer.Number);
            _hangfireRuns[HangfireOffers.Enqueue(_hangfire, offer)] = offer.Number;
            return;
        }

        _history.Add(Act.Again, "", offer.Number);
        try
        {
            await _quartz.DeleteJob(QuartzOffers.JobKeyOf(offer), stop);
        }
        catch (SchedulerException) when (!stop.IsCancellationRequested)
        {
            // Its trigger has just fired for the last time. What is left of it goes with it.
            await _quartz.DeleteJob(QuartzOffers.JobKeyOf(offer), stop);
        }

        await QuartzOffers.OfferAsync(_quartz, [offer], stop);
    }

    private static bool IsOfHangfire(string scheduler) => scheduler.StartsWith("Hangfire", StringComparison.Ordinal);

    public async ValueTask DisposeAsync()
    {
        await _quartz.Shutdown();
        await _services.DisposeAsync();
    }
}
