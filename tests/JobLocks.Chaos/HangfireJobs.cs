using Hangfire;
using Hangfire.Server;
using JobLocks.Hangfire;

namespace JobLocks.Chaos;

/// <summary>The runs of Hangfire. Those that were told of a loss are tried again.</summary>
[AutomaticRetry(Attempts = 100, DelaysInSeconds = [1])]
internal sealed class HangfireJobs(Work work)
{
    [JobLock("{name}", RetryAfterSeconds = 1)]
    public Task Alone(int run, string name, int milliseconds, PerformContext context, CancellationToken stop) => work.DoAsync(run, milliseconds, context.BackgroundJob.Id, stop);

    [JobLock("{name}", Mode = LockMode.Shared, RetryAfterSeconds = 1)]
    public Task Shared(int run, string name, int milliseconds, PerformContext context, CancellationToken stop) => work.DoAsync(run, milliseconds, context.BackgroundJob.Id, stop);

    [JobLock("{name}", Limit = 2, RetryAfterSeconds = 1)]
    public Task OfTwo(int run, string name, int milliseconds, PerformContext context, CancellationToken stop) => work.DoAsync(run, milliseconds, context.BackgroundJob.Id, stop);

    [JobLock("{name}", RetryAfterSeconds = 1), JobLock("{second}", RetryAfterSeconds = 1)]
    public Task Both(int run, string name, string second, int milliseconds, PerformContext context, CancellationToken stop) => work.DoAsync(run, milliseconds, context.BackgroundJob.Id, stop);
}
