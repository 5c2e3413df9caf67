using Hangfire;

namespace JobLocks.Hangfire.Tests.Support;

/// <summary>A job that stops when it is told to.</summary>
public class StoppableJob
{
    [JobLock("sync({stage})"), AutomaticRetry(Attempts = 0)]
    public Task Run(string stage, CancellationToken stop) => Stage.Of(stage).PlayAsync(stop);

    [JobLock("sync({stage})"), JobLock("also({stage})"), AutomaticRetry(Attempts = 0)]
    public Task RunUnderBoth(string stage, CancellationToken stop) => Stage.Of(stage).PlayAsync(stop);
}
