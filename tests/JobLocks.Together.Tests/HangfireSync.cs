using Hangfire;
using JobLocks.Hangfire;

namespace JobLocks.Together.Tests;

public sealed class HangfireSync
{
    [JobLock("sync({client})", OnConflict = OnConflict.Skip)]
    public Task RunOrSkip(string client) => Work.DoAsync(client, "Hangfire");

    [JobLock("sync({client})")]
    public Task QueuedRun(string client) => Work.DoAsync(client, "Hangfire");

    [JobLock("sync({client})", OnConflict = OnConflict.Reschedule, RetryAfterSeconds = 1)]
    [AutomaticRetry(Attempts = 0)]
    public Task RunOrWait(string client) => Work.DoAsync(client, "Hangfire");
}
