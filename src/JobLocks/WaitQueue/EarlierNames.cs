namespace JobLocks.WaitQueue;

/// <summary>Other ids under which queue entries of a job store may exist.</summary>
/// <param name="Same">Further ids of this same store, which other processes may still use.</param>
/// <param name="Origins">Prefixes of the ids of the stores from which this one was restored.</param>
internal sealed record EarlierNames(IReadOnlyList<string> Same, IReadOnlyList<string> Origins)
{
    /// <summary>No other ids.</summary>
    public static readonly EarlierNames None = new([], []);
}
