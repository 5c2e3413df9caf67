namespace JobLocks.WaitQueue;

/// <summary>What else a store is called, or was.</summary>
/// <param name="Same">Names of this very store, which other processes may still use.</param>
/// <param name="Origins">What the names of those stores begin with that this one was restored from.</param>
internal sealed record EarlierNames(IReadOnlyList<string> Same, IReadOnlyList<string> Origins)
{
    /// <summary>None.</summary>
    public static readonly EarlierNames None = new([], []);
}
