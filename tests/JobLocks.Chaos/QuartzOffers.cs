using System.Globalization;
using System.Text.Json;
using Quartz;

namespace JobLocks.Chaos;

/// <summary>Puts runs into Quartz.</summary>
internal static class QuartzOffers
{
    /// <summary>Under this key, a trigger carries its run.</summary>
    public const string Data = "offer";

    /// <summary>The jobs that count. Each name is a lock, too.</summary>
    public static readonly IReadOnlyList<string> Counters = ["countera", "counterb"];

    private const string Run = "run";
    private const string Repeated = "series";
    private const string Maker = "maker";

    // Time enough for a run to end whose trigger has a new schedule: Quartz tidies a spent trigger away when its firing ends.
    private static readonly TimeSpan Later = TimeSpan.FromSeconds(1);

    /// <summary>Whether the job is the run's alone: then it is known by the job.</summary>
    public static bool IsOwnJob(Offer offer) => offer is { Counts: false, Series: null, Parting: Parting.None, Maker: 0 };

    /// <summary>The run of a job of its own; 0 for any other job.</summary>
    public static int RunOf(string jobKey) => NumberIn(jobKey, Run);

    /// <summary>The run for which a job was first scheduled; 0 for the jobs that count.</summary>
    public static int FirstRunOf(string jobKey) => Math.Max(RunOf(jobKey), Math.Max(SeriesOf(jobKey), NumberIn(jobKey, Maker)));

    /// <summary>The series of a job; 0 for any other job.</summary>
    public static int SeriesOf(string jobKey) => NumberIn(jobKey, Repeated);

    public static JobKey JobKeyOf(Offer offer) => new(Named(IsOwnJob(offer) ? Run : offer.Series is null ? Maker : Repeated, offer.Number));

    /// <summary>Stores runs together, so that no parent can end before its continuations are there.</summary>
    public static async Task OfferAsync(IScheduler scheduler, IReadOnlyList<Offer> family, CancellationToken stop)
    {
        foreach (var counting in family.Where(static offer => offer.Counts)) await scheduler.ScheduleJob(TriggerOf(counting).ForJob(counting.Name).Build(), cancellationToken: stop);
        if (family[0].Counts) return;

        await scheduler.ScheduleJobs(family.ToDictionary(JobOf, static IReadOnlyCollection<ITrigger> (offer) => [TriggerOf(offer).Build()]), cancellationToken: stop);
    }

    public static async Task PrepareCountersAsync(IScheduler scheduler, CancellationToken stop)
    {
        foreach (var counter in Counters)
        {
            var job = JobBuilder.Create<QuartzCounter>()
                .WithIdentity(counter)
                .UsingJobData(QuartzCounter.Count, 0)
                .UsingJobData(QuartzCounter.Writer, "")
                .StoreDurably()
                .RequestRecovery();
            await scheduler.AddJob(job.Build(), cancellationToken: stop);
        }
    }

    /// <summary>A run's own trigger with a new schedule: it fires another run, once.</summary>
    public static ITrigger Moved(TriggerKey own, JobKey job, Offer next) => WithData(next).WithIdentity(own).ForJob(job).StartAt(DateTimeOffset.UtcNow + Later).Build();

    private static IJobDetail JobOf(Offer offer)
    {
        var type = offer.Kind switch
        {
            Kind.Shared => typeof(QuartzShared),
            Kind.OfTwo => typeof(QuartzOfTwo),
            Kind.Both => typeof(QuartzBoth),
            Kind.Reschedules => typeof(QuartzReschedules),
            Kind.Skips => typeof(QuartzSkips),
            Kind.Fails => typeof(QuartzFails),
            _ => typeof(QuartzAlone),
        };
        return JobBuilder.Create().OfType(type).WithIdentity(JobKeyOf(offer)).RequestRecovery().Build();
    }

    private static TriggerBuilder<IJob> TriggerOf(Offer offer)
    {
        var trigger = WithData(offer).WithIdentity(Named(Run, offer.Number)).StartNow();
        if (offer.Parent > 0) trigger.StartAfter(new(Named(Run, offer.Parent)), ConditionOf(offer.After));
        if (offer.Series is { } series)
        {
            trigger.WithOverlapPolicy(series.Policy)
                .WithSimpleSchedule(schedule => schedule.WithInterval(TimeSpan.FromMilliseconds(series.EveryMilliseconds)).WithRepeatCount(series.Times - 1));
        }

        return trigger;
    }

    private static TriggerBuilder<IJob> WithData(Offer offer) => TriggerBuilder.Create()
        .UsingJobData(Data, JsonSerializer.Serialize(offer))
        .UsingJobData("name", offer.Name)
        .UsingJobData("second", offer.Second)
        .WithRetryPolicy(offer.IsRetried ? RetryPolicy.Fixed(100, TimeSpan.FromSeconds(1)) : RetryPolicy.None);

    private static ContinuationCondition ConditionOf(End after)
    {
        if (after == End.Any) return ContinuationCondition.OnAnyOutcome;

        var condition = default(ContinuationCondition);
        if (after.HasFlag(End.Success)) condition |= ContinuationCondition.OnSuccess;
        if (after.HasFlag(End.Failure)) condition |= ContinuationCondition.OnFailure;
        if (after.HasFlag(End.Veto)) condition |= ContinuationCondition.OnVeto;
        return condition;
    }

    private static string Named(string kind, int number) => string.Create(CultureInfo.InvariantCulture, $"{kind}-{number}");

    private static int NumberIn(string jobKey, string kind) =>
        jobKey.Split('.')[^1].Split('-') is [var said, var number] && string.Equals(said, kind, StringComparison.Ordinal) && int.TryParse(number, CultureInfo.InvariantCulture, out var run) ? run : 0;
}
