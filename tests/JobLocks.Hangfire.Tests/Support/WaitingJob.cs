using Hangfire;
using Hangfire.Server;

namespace JobLocks.Hangfire.Tests.Support;

/// <summary>Jobs that wait in line for their stage.</summary>
public class WaitingJob
{
    [JobLock("sync({stage})")]
    public Task Run(string stage) => Stage.Of(stage).PlayAsync();

    [JobLock("sync({stage})")]
    public void Pass(string stage, int number) => Stage.Of(stage).Pass(number);

    [JobLock("sync({stage})"), Queue("critical")]
    public Task RunInCritical(string stage) => Stage.Of(stage).PlayAsync();

    [JobLock("sync({stage})", WaitAtMostSeconds = 1), AutomaticRetry(Attempts = 0)]
    public Task RunSoon(string stage) => Stage.Of(stage).PlayAsync();

    /// <summary>Makes another one that needs its lock, and does not end before that has.</summary>
    [JobLock("sync({stage})")]
    public Task RunAndMake(string stage, PerformContext context)
    {
        new BackgroundJobClient(context.Storage).Enqueue<WaitingJob>(job => job.RunSoon(stage));
        return Stage.Of(stage).PlayAsync();
    }

    [JobLock("sync({stage})", WaitAtMostSeconds = 7200)]
    public Task RunPatiently(string stage) => Stage.Of(stage).PlayAsync();

    public Task Occupy(string stage) => Stage.Of(stage).PlayAsync();

    [JobLock("sync({stage})", KeepWaiting = 1)]
    public Task RunOrJoin(string stage, int number) => Stage.Of(stage).PlayAsync(number);

    [JobLock("sync({stage})", KeepWaiting = 1, KeepNewest = true)]
    public Task RunOrReplace(string stage, int number) => Stage.Of(stage).PlayAsync(number);

    [JobLock("sync({stage})", Mode = LockMode.Shared)]
    public Task Read(string stage, int number) => Stage.Of(stage).PlayAsync(number);

    [JobLock("sync({stage})")]
    public Task Write(string stage, int number) => Stage.Of(stage).PlayAsync(number);

    [JobLock("also({stage})")]
    public Task WriteAlso(string stage, int number) => Stage.Of(stage).PlayAsync(number);

    [JobLock("sync({stage})", Limit = 2)]
    public Task RunOfTwo(string stage, int number) => Stage.Of(stage).PlayAsync(number);

    [JobLock("sync({stage})"), JobLock("also({stage})")]
    public Task RunUnderBoth(string stage, int number) => Stage.Of(stage).PlayAsync(number);
}
