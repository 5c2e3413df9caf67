using System.Diagnostics;

namespace JobLocks.Benchmarks.Schedulers;

/// <summary>Counts the jobs of a turn. A scheduler makes its jobs itself, so they find it here: one turn at a time.</summary>
internal sealed class Finish(int jobs)
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(3);
    private static Finish? _current;

    private readonly TaskCompletionSource<double> _rate = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private long _started;
    private int _done;

    public static Finish Await(int jobs) => _current = new(jobs);

    /// <summary>What each job does.</summary>
    public static void Pass() => _current!.Count();

    /// <summary>From the first job to the last: a scheduler's start is not what is compared.</summary>
    public Task<double> JobsPerSecondAsync(CancellationToken stop) => _rate.Task.WaitAsync(Patience, stop);

    private void Count()
    {
        Interlocked.CompareExchange(ref _started, Stopwatch.GetTimestamp(), 0);
        if (Interlocked.Increment(ref _done) == jobs) _rate.SetResult(jobs / Stopwatch.GetElapsedTime(Volatile.Read(ref _started)).TotalSeconds);
    }
}
