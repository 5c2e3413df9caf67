using System.Globalization;
using Hangfire;
using Quartz;

namespace JobLocks.Benchmarks.Waiting;

/// <summary>Gives runs to the schedulers of a process.</summary>
internal sealed class WaitingSupply(WaitingWay way, IBackgroundJobClient? hangfire, IScheduler? quartz)
{
    public async Task OfferAsync(WaitingOffer offer, CancellationToken stop)
    {
        if (way is WaitingWay.HangfireChain or WaitingWay.QuartzChain)
        {
            if (offer.Part == 0) await BeginChainsAsync(offer, stop);
            return;
        }

        foreach (var name in offer.ByName)
        {
            var forHangfire = name.Where(number => quartz is null || (hangfire is not null && number / offer.Names % 2 == 0)).ToList();
            foreach (var number in forHangfire) Enqueue(name.Key, number, offer.Milliseconds);
            var forQuartz = name.Except(forHangfire).ToList();
            if (way == WaitingWay.QuartzOwn) await ScheduleAsync<OwnQuartzJob>(name.Key, forQuartz, offer.Milliseconds, stop);
            else if (way == WaitingWay.QuartzBare) await ScheduleAsync<BareQuartzJob>(name.Key, forQuartz, offer.Milliseconds, stop);
            else if (forQuartz.Count > 0) await ScheduleAsync<WaitingQuartzJob>(name.Key, forQuartz, offer.Milliseconds, stop);
        }
    }

    /// <summary>The first run of each name.</summary>
    private async Task BeginChainsAsync(WaitingOffer offer, CancellationToken stop)
    {
        foreach (var name in (offer with { Parts = 1 }).ByName)
        {
            var (number, last, milliseconds) = (name.First(), name.First() + name.Count() - 1, offer.Milliseconds);
            if (way == WaitingWay.HangfireChain) hangfire!.Enqueue<WaitingJobs>(jobs => jobs.Chain(name.Key, number, last, milliseconds, null!));
            else await ScheduleAsync<ChainQuartzJob>(name.Key, [number], milliseconds, stop, last);
        }
    }

    private void Enqueue(string name, int number, int milliseconds)
    {
        switch (way)
        {
            case var _ when name.StartsWith(WaitingOffer.Others, StringComparison.Ordinal):
                hangfire!.Enqueue<WaitingJobs>(jobs => jobs.Bare(name, number, milliseconds));
                break;
            case WaitingWay.HangfireOwn:
                hangfire!.Enqueue<WaitingJobs>(jobs => jobs.Block(name, number, milliseconds));
                break;
            case WaitingWay.HangfireBare:
                hangfire!.Enqueue<WaitingJobs>(jobs => jobs.Bare(name, number, milliseconds));
                break;
            case WaitingWay.HangfireReschedule:
                hangfire!.Enqueue<WaitingJobs>(jobs => jobs.Reschedule(name, number, milliseconds));
                break;
            default:
                hangfire!.Enqueue<WaitingJobs>(jobs => jobs.Wait(name, number, milliseconds));
                break;
        }
    }

    /// <summary>
    /// Quartz itself keeps apart the runs of one job key: those of one name share a job. They request recovery, which lets them wait in their threads.
    /// </summary>
    private async Task ScheduleAsync<TJob>(string name, IReadOnlyList<int> numbers, int milliseconds, CancellationToken stop, int last = 0)
        where TJob : IJob
    {
        var job = JobBuilder.Create<TJob>().WithIdentity($"job-{name}").StoreDurably().RequestRecovery().Build();
        await quartz!.AddJob(job, new AddJobOptions { Replace = true }, stop);
        foreach (var number in numbers)
        {
            await quartz!.ScheduleJob(
                TriggerBuilder.Create<TJob>()
                    .WithIdentity(string.Create(CultureInfo.InvariantCulture, $"{name}-{number}"))
                    .ForJob(job)
                    .UsingJobData("name", name)
                    .UsingJobData("number", number)
                    .UsingJobData("last", last)
                    .UsingJobData("milliseconds", milliseconds)
                    .StartNow()
                    .Build(),
                cancellationToken: stop);
        }
    }
}
