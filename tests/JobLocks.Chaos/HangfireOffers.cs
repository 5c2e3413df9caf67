using System.Linq.Expressions;
using Hangfire;

namespace JobLocks.Chaos;

/// <summary>Puts runs into Hangfire.</summary>
internal static class HangfireOffers
{
    private static readonly TimeSpan Later = TimeSpan.FromSeconds(1);

    public static string Enqueue(IBackgroundJobClient client, Offer offer) =>
        offer.IsInTransaction ? client.Enqueue(Call<HangfireTransactedJobs>(offer)) : client.Enqueue(Call<HangfireJobs>(offer));

    public static string Schedule(IBackgroundJobClient client, Offer offer) => client.Schedule(Call<HangfireJobs>(offer), Later);

    public static string ContinueWith(IBackgroundJobClient client, string parent, Offer offer)
    {
        var options = offer.After switch
        {
            End.Success => JobContinuationOptions.OnlyOnSucceededState,
            End.Deletion => JobContinuationOptions.OnlyOnDeletedState,
            _ => JobContinuationOptions.OnAnyFinishedState,
        };
        return offer.IsInTransaction
            ? client.ContinueJobWith(parent, Call<HangfireTransactedJobs>(offer), options: options)
            : client.ContinueJobWith(parent, Call<HangfireJobs>(offer), options: options);
    }

    private static Expression<Func<T, Task>> Call<T>(Offer offer)
        where T : HangfireJobs => offer.Kind switch
        {
            Kind.Shared => jobs => jobs.Shared(offer, null!, CancellationToken.None),
            Kind.OfTwo => jobs => jobs.OfTwo(offer, null!, CancellationToken.None),
            Kind.Both => jobs => jobs.Both(offer, null!, CancellationToken.None),
            Kind.Reschedules => jobs => jobs.Reschedules(offer, null!, CancellationToken.None),
            Kind.Skips => jobs => jobs.Skips(offer, null!, CancellationToken.None),
            Kind.Fails => jobs => jobs.Fails(offer, null!, CancellationToken.None),
            _ => jobs => jobs.Alone(offer, null!, CancellationToken.None),
        };
}
