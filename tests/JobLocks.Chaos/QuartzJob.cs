using System.Text.Json;
using JobLocks.Quartz;
using Quartz;

namespace JobLocks.Chaos;

/// <summary>The runs of Quartz.</summary>
internal class QuartzJob(Work work) : IJob
{
    public async ValueTask Execute(IJobExecutionContext context, CancellationToken cancellationToken = default)
    {
        var offer = JsonSerializer.Deserialize<Offer>(context.MergedJobDataMap.GetString(QuartzOffers.Data)!)!;
        // A recovered run that had to wait carries that on.
        if (context.Recovering || context.MergedJobDataMap.ContainsKey("JOBLOCKS_STARTED_BEFORE")) work.Recovered(offer.Number);
        await DoAsync(work, context, offer, cancellationToken);
    }

    protected virtual async Task DoAsync(Work work, IJobExecutionContext context, Offer offer, CancellationToken stop)
    {
        var isParting = false;
        await work.DoAsync(offer, QuartzOffers.IsOwnJob(offer) ? context.JobDetail.Key.ToString() : "", stop, offer.Parting == Parting.None ? null : PartAsync);
        if (isParting && offer.Parting == Parting.Throws) throw new JobExecutionException("This run unschedules its trigger.") { UnscheduleFiringTrigger = true };

        async Task PartAsync()
        {
            if (offer.Series is not null && await work.AttemptsAsync(offer.Number, CancellationToken.None) < 2) return;

            isParting = true;
            await PartFromTriggerAsync(work, context, offer);
        }
    }

    private static async Task PartFromTriggerAsync(Work work, IJobExecutionContext context, Offer offer)
    {
        var own = context.Trigger.Key;
        if (offer.Parting == Parting.Unschedules) await context.Scheduler.UnscheduleJob(own, CancellationToken.None);
        if (offer is { Parting: Parting.Moves, Makes: { } next })
        {
            work.Makes(next);
            await context.Scheduler.RescheduleJob(own, QuartzOffers.Moved(own, context.JobDetail.Key, next), CancellationToken.None);
        }

        work.Unscheduled(offer.Number);
    }
}

[JobLock("{name}", RetryAfterSeconds = 1)]
internal sealed class QuartzAlone(Work work) : QuartzJob(work);

[JobLock("{name}", Mode = LockMode.Shared, RetryAfterSeconds = 1)]
internal sealed class QuartzShared(Work work) : QuartzJob(work);

[JobLock("{name}", Limit = 2, RetryAfterSeconds = 1)]
internal sealed class QuartzOfTwo(Work work) : QuartzJob(work);

[JobLock("{name}", RetryAfterSeconds = 1), JobLock("{second}", RetryAfterSeconds = 1)]
internal sealed class QuartzBoth(Work work) : QuartzJob(work);

[JobLock("{name}", OnConflict = OnConflict.Reschedule, RetryAfterSeconds = 1)]
internal sealed class QuartzReschedules(Work work) : QuartzJob(work);

[JobLock("{name}", OnConflict = OnConflict.Skip, RetryAfterSeconds = 1)]
internal sealed class QuartzSkips(Work work) : QuartzJob(work);

[JobLock("{name}", OnConflict = OnConflict.Fail, RetryAfterSeconds = 1)]
internal sealed class QuartzFails(Work work) : QuartzJob(work);

/// <summary>Counts in the data of its job, and says there which attempt wrote it.</summary>
#pragma warning disable QZ0003 // The lock, and not Quartz, lets one firing at a time count: that is what the history checks.
[JobLock("{name}", RetryAfterSeconds = 1), PersistJobDataAfterExecution]
internal sealed class QuartzCounter(Work work) : QuartzJob(work)
#pragma warning restore QZ0003
{
    public const string Count = "count";
    public const string Writer = "writer";

    protected override async Task DoAsync(Work work, IJobExecutionContext context, Offer offer, CancellationToken stop)
    {
        var data = context.JobDetail.JobDataMap;
        var count = data.GetInt(Count);
        var attempt = await work.DoAsync(offer, id: "", stop);
        // After the end of the work: Quartz writes the data of a run that was stopped, too.
        data[Count] = count + 1;
        data[Writer] = attempt;
    }
}
