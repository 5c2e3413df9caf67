using System.Globalization;
using Hangfire;
using Hangfire.Server;

namespace JobLocks.Hangfire.Tests.Support;

/// <summary>Jobs that wait in line or are rescheduled, each beside something of Hangfire's that reacts to its run.</summary>
[ContinuationsSupport(pushResults: true)]
public class MechanismJob
{
    [JobLock("sync({stage})")]
    public Task<int> Wait(string stage) => PlayAsync(stage);

    [JobLock("sync({stage})", OnConflict = OnConflict.Reschedule, RetryAfterSeconds = 1)]
    public Task<int> Reschedule(string stage) => PlayAsync(stage);

    [JobLock("sync({stage})"), AutomaticRetry(Attempts = 0, OnAttemptsExceeded = AttemptsExceededAction.Delete)]
    public Task<int> WaitWithoutRetries(string stage) => PlayAsync(stage);

    [JobLock("sync({stage})", OnConflict = OnConflict.Reschedule, RetryAfterSeconds = 1), AutomaticRetry(Attempts = 0, OnAttemptsExceeded = AttemptsExceededAction.Delete)]
    public Task<int> RescheduleWithoutRetries(string stage) => PlayAsync(stage);

    [JobLock("sync({stage})", Order = 10), IdempotentCompletion]
    public Task<int> WaitIdempotently(string stage) => PlayAsync(stage);

    [JobLock("sync({stage})", OnConflict = OnConflict.Reschedule, RetryAfterSeconds = 1, Order = 10), IdempotentCompletion]
    public Task<int> RescheduleIdempotently(string stage) => PlayAsync(stage);

    [JobLock("sync({stage})", Order = 10), DisableConcurrentExecution("other({0})", 1)]
    public Task<int> WaitAlone(string stage) => PlayAsync(stage);

    [JobLock("sync({stage})", OnConflict = OnConflict.Reschedule, RetryAfterSeconds = 1, Order = 10), DisableConcurrentExecution("other({0})", 1)]
    public Task<int> RescheduleAlone(string stage) => PlayAsync(stage);

    [JobLock("sync({stage})"), LatencyTimeout(1)]
    public Task<int> WaitNotLong(string stage) => PlayAsync(stage);

    [JobLock("sync({stage})"), Queue("critical")]
    public Task<int> WaitInCritical(string stage) => PlayAsync(stage);

    [JobLock("sync({stage})")]
    public string WaitAndLook(string stage, PerformContext context) => Look(stage, context);

    [JobLock("sync({stage})", OnConflict = OnConflict.Reschedule, RetryAfterSeconds = 1)]
    public string RescheduleAndLook(string stage, PerformContext context) => Look(stage, context);

    public void Follow(string stage) => Stage.Of(stage).Pass();

    private static string Look(string stage, PerformContext context)
    {
        Stage.Of(stage).Pass();
        return string.Create(
            CultureInfo.InvariantCulture,
            $"{context.BackgroundJob.Id} {context.BackgroundJob.CreatedAt:O} {CultureInfo.CurrentCulture.Name} {context.GetJobParameter<string>("Theirs")} {context.ServerId is not null}");
    }

    private static async Task<int> PlayAsync(string stage)
    {
        await Stage.Of(stage).PlayAsync();
        return 42;
    }
}
