using Hangfire;
using Hangfire.Server;
using JobLocks.Hangfire;

namespace JobLocks.Chaos;

/// <summary>
/// The runs of Hangfire. A run that was told of a loss is tried again. So is one that fails where others wait for its lock: under a name for which
/// runs always wait, that goes on until the end of the offers, and a hundred attempts a second apart are used up before.
/// </summary>
[AutomaticRetry(Attempts = 100_000, DelaysInSeconds = [1]), DeletedWhereMeantToFail]
internal class HangfireJobs(Work work, IBackgroundJobClient client)
{
    [JobLock("{offer.Name}", RetryAfterSeconds = 1)]
    public Task Alone(Offer offer, PerformContext context, CancellationToken stop) => DoAsync(offer, context, stop);

    [JobLock("{offer.Name}", Mode = LockMode.Shared, RetryAfterSeconds = 1)]
    public Task Shared(Offer offer, PerformContext context, CancellationToken stop) => DoAsync(offer, context, stop);

    [JobLock("{offer.Name}", Limit = 2, RetryAfterSeconds = 1)]
    public Task OfTwo(Offer offer, PerformContext context, CancellationToken stop) => DoAsync(offer, context, stop);

    [JobLock("{offer.Name}", RetryAfterSeconds = 1), JobLock("{offer.Second}", RetryAfterSeconds = 1)]
    public Task Both(Offer offer, PerformContext context, CancellationToken stop) => DoAsync(offer, context, stop);

    [JobLock("{offer.Name}", OnConflict = OnConflict.Reschedule, RetryAfterSeconds = 1)]
    public Task Reschedules(Offer offer, PerformContext context, CancellationToken stop) => DoAsync(offer, context, stop);

    [JobLock("{offer.Name}", OnConflict = OnConflict.Skip, RetryAfterSeconds = 1)]
    public Task Skips(Offer offer, PerformContext context, CancellationToken stop) => DoAsync(offer, context, stop);

    [JobLock("{offer.Name}", OnConflict = OnConflict.Fail, RetryAfterSeconds = 1)]
    public Task Fails(Offer offer, PerformContext context, CancellationToken stop) => DoAsync(offer, context, stop);

    private Task<string> DoAsync(Offer offer, PerformContext context, CancellationToken stop) =>
        work.DoAsync(offer, context.BackgroundJob.Id, stop, offer.Makes is { } next ? () => MakeAsync(next) : null);

    private Task MakeAsync(Offer next)
    {
        work.Makes(next);
        // Both ways that a job has to start a further one.
        if (next.Number % 2 == 0) HangfireOffers.Enqueue(client, next);
        else HangfireOffers.Schedule(client, next);
        return Task.CompletedTask;
    }
}

/// <summary>The same runs, each inside an ambient transaction.</summary>
[InTransaction]
internal sealed class HangfireTransactedJobs(Work work, IBackgroundJobClient client) : HangfireJobs(work, client);
