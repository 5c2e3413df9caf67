using Hangfire;

namespace JobLocks.Hangfire.Tests.Support;

/// <summary>Jobs that lock on their stage, one for each way out of a conflict.</summary>
public class SyncJob
{
    [JobLock("sync({stage})", OnConflict = OnConflict.Reschedule)]
    public Task Run(string stage) => Stage.Of(stage).PlayAsync();

    [JobLock("sync({stage})", OnConflict = OnConflict.Reschedule, RetryAfterSeconds = 1)]
    public Task RunSoon(string stage) => Stage.Of(stage).PlayAsync();

    [JobLock("sync({stage})", OnConflict = OnConflict.Reschedule, RetryAfterSeconds = 1), Queue("critical")]
    public Task RunSoonInCritical(string stage) => Stage.Of(stage).PlayAsync();

    [JobLock("sync({stage})", OnConflict = OnConflict.Skip, RetryAfterSeconds = 1)]
    public Task RunOrSkip(string stage) => Stage.Of(stage).PlayAsync();

    [JobLock("sync({stage})", OnConflict = OnConflict.Fail, RetryAfterSeconds = 1), AutomaticRetry(Attempts = 0)]
    public Task RunOrFail(string stage) => Stage.Of(stage).PlayAsync();

    [JobLock("sync({stage})", OnConflict = OnConflict.Fail)]
    public Task RunOrFailByHangfiresRules(string stage) => Stage.Of(stage).PlayAsync();

    [JobLock("sync({stage})", OnConflict = OnConflict.Skip, RetryAfterSeconds = 1)]
    public Task RunUntilStopped(string stage, CancellationToken stop) => Stage.Of(stage).PlayAsync(stop);

    [JobLock("sync({stage})", OnConflict = OnConflict.Reschedule, RetryAfterSeconds = 1)]
    public Task RunOn(string stage) => Stage.Of(stage).PlayOnAsync();

    [JobLock("sync({stage})")]
    public void RunSynchronously(string stage) => Stage.Of(stage).Pass();

    public Task RunUnlocked(string stage) => Stage.Of(stage).PlayAsync();
}
