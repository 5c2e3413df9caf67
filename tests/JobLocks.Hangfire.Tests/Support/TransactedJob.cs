using Hangfire;

namespace JobLocks.Hangfire.Tests.Support;

/// <summary>Jobs that <see cref="InTransaction"/> surrounds with a transaction, as their second argument says.</summary>
[AutomaticRetry(Attempts = 0)]
public class TransactedJob
{
    [JobLock("sync({stage})")]
    public Task Wait(string stage, string transaction) => Stage.Of(stage).PlayAsync();

    [JobLock("sync({stage})", OnConflict = OnConflict.Reschedule, RetryAfterSeconds = 1)]
    public Task Reschedule(string stage, string transaction) => Stage.Of(stage).PlayAsync();

    [JobLock("sync({stage})", OnConflict = OnConflict.Skip)]
    public Task Skip(string stage, string transaction) => Stage.Of(stage).PlayAsync();

    [JobLock("sync({stage})", OnConflict = OnConflict.Fail)]
    public Task Fail(string stage, string transaction) => Stage.Of(stage).PlayAsync();
}
