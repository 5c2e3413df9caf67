using Quartz;

namespace JobLocks.Chaos;

/// <summary>A repeating trigger of Quartz. All its occurrences are attempts of one run.</summary>
/// <param name="Policy">What an occurrence does that comes due while an earlier one runs or waits.</param>
/// <param name="Times">How many occurrences.</param>
/// <param name="EveryMilliseconds">How far apart.</param>
internal sealed record Series(OverlapPolicy Policy, int Times, int EveryMilliseconds)
{
    /// <summary>How many occurrences can wait at once. A cancelled one may leave the queue after the one that cancels it has entered it.</summary>
    public int MostWaiting => Policy == OverlapPolicy.CancelPrevious ? 2 : 1;
}
