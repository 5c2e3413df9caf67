using System.Collections.Concurrent;
using System.Diagnostics;
using Npgsql;

namespace JobLocks.Benchmarks.Measuring;

/// <summary>Many callers that do the same thing over and over again, for the time of one turn.</summary>
internal sealed class Load(Effort effort, CancellationToken stop)
{
    // A caller's first acts open connections and are compiled.
    private const int LeastActsToWarmUp = 3;

    private readonly ConcurrentDictionary<string, int> _errors = new(StringComparer.Ordinal);

    /// <summary>Runs one turn.</summary>
    /// <param name="callers">How many at once.</param>
    /// <param name="act">What caller n does.</param>
    public async Task<LoadResult> RunAsync(int callers, Func<int, Func<Task>> act)
    {
        var acts = Enumerable.Range(0, callers).Select(act).ToList();
        await AllAsync(acts, effort.WarmUp, LeastActsToWarmUp);

        var samples = await AllAsync(acts, effort.Turn, leastActs: 0);
        var inTime = samples.Sum(static caller => caller.InTime);
        var latencies = samples.SelectMany(static caller => caller.Latencies).Order().ToList();
        return new(inTime / effort.Turn.TotalSeconds, Percentile(latencies, 0.50), Percentile(latencies, 0.99), _errors);
    }

    private async Task<IReadOnlyList<Samples>> AllAsync(List<Func<Task>> acts, TimeSpan time, int leastActs)
    {
        var end = Stopwatch.GetTimestamp() + (long)(time.TotalSeconds * Stopwatch.Frequency);
        return await Task.WhenAll(acts.Select(act => Task.Run(() => RepeatAsync(act, end, leastActs), stop)));
    }

    private async Task<Samples> RepeatAsync(Func<Task> act, long end, int leastActs)
    {
        var latencies = new List<long>();
        var inTime = 0;
        for (var acts = 0; ; acts++)
        {
            var started = Stopwatch.GetTimestamp();
            if (started >= end && acts >= leastActs) return new(latencies, inTime);

            stop.ThrowIfCancellationRequested();
            try
            {
                await act();
            }
            catch (Exception error) when (!stop.IsCancellationRequested)
            {
                // A peer that runs into a limit of the server is no reason to stop: what it cannot do is a result too.
                _errors.AddOrUpdate(Label(error), 1, static (_, count) => count + 1);
                continue;
            }

            // The last act of a slow caller ends late: it counts for the latency, or only the quick ones would.
            var ended = Stopwatch.GetTimestamp();
            latencies.Add(ended - started);
            if (ended <= end) inTime++;
        }
    }

    private static string Label(Exception error) => error switch
    {
        PostgresException postgres => postgres.SqlState,
        { InnerException: { } inner } => Label(inner),
        _ => error.GetType().Name,
    };

    private static double Percentile(List<long> sorted, double share) => sorted.Count == 0
        ? double.NaN
        : Stopwatch.GetElapsedTime(0, sorted[(int)Math.Min(sorted.Count - 1, sorted.Count * share)]).TotalMilliseconds;

    private sealed record Samples(List<long> Latencies, int InTime);
}
