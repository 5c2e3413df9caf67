using System.Collections.Concurrent;
using Hangfire;
using Hangfire.Common;
using Hangfire.States;

namespace JobLocks.Hangfire.Tests.Support;

/// <summary>A job whose runs can be counted while they are in memory, also those that are parked.</summary>
public class RememberedJob
{
    private static readonly ConcurrentBag<WeakReference<BackgroundJob>> Runs = [];

    /// <summary>How many runs have begun or were parked.</summary>
    public static int Count => Runs.Count;

    /// <summary>How many of them are still in memory.</summary>
    public static int CountAlive()
    {
        GC.Collect();
        return Runs.Count(static run => run.TryGetTarget(out _));
    }

    [JobLock("sync({stage})"), Remember]
    public Task Run(string stage) => Stage.Of(stage).PlayAsync();

    [AttributeUsage(AttributeTargets.Method)]
    private sealed class RememberAttribute : JobFilterAttribute, IElectStateFilter
    {
        public void OnStateElection(ElectStateContext context)
        {
            if (context.CandidateState is ProcessingState) Runs.Add(new(context.BackgroundJob));
        }
    }
}
