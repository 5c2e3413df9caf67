namespace JobLocks.WaitQueue;

/// <summary>Other ids under which queue entries of a job store may exist.</summary>
/// <param name="Aliases">Further ids of this same store, which other processes may still use.</param>
/// <param name="OriginPrefixes">Prefixes of the ids of the stores from which this one was restored.</param>
internal sealed record OtherStoreIds(IReadOnlyList<string> Aliases, IReadOnlyList<string> OriginPrefixes)
{
    /// <summary>No other ids.</summary>
    public static readonly OtherStoreIds None = new([], []);
}
