using Hangfire;

namespace JobLocks.Hangfire.Tests.Support;

/// <summary>Jobs that lock on their stage, before or after the filters of others.</summary>
public class OrderedJob
{
    [JobLock("sync({stage})")]
    public Task Wait(string stage) => Stage.Of(stage).PlayAsync();

    [JobLock("sync({stage})", Order = 10)]
    public Task WaitLate(string stage) => Stage.Of(stage).PlayAsync();

    [JobLock("sync({stage})", OnConflict = OnConflict.Reschedule, RetryAfterSeconds = 1)]
    public Task Reschedule(string stage) => Stage.Of(stage).PlayAsync();

    [JobLock("sync({stage})", OnConflict = OnConflict.Reschedule, RetryAfterSeconds = 1, Order = 10)]
    public Task RescheduleLate(string stage) => Stage.Of(stage).PlayAsync();

    [JobLock("sync({stage})", OnConflict = OnConflict.Skip)]
    public Task Skip(string stage) => Stage.Of(stage).PlayAsync();

    [JobLock("sync({stage})", OnConflict = OnConflict.Fail), AutomaticRetry(Attempts = 0)]
    public Task Fail(string stage) => Stage.Of(stage).PlayAsync();
}
