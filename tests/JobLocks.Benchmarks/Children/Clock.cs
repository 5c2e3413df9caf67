using System.Diagnostics;

namespace JobLocks.Benchmarks.Children;

/// <summary>One clock for two processes: what Stopwatch counts runs since the machine was started, not since the process was.</summary>
internal static class Clock
{
    public static long Now => Stopwatch.GetTimestamp();

    public static double MillisecondsBetween(long first, long later) => Stopwatch.GetElapsedTime(first, later).TotalMilliseconds;
}
