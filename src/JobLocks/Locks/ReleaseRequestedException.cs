namespace JobLocks.Locks;

/// <summary>Why a lock counts as lost that its session still has: somebody asked for it.</summary>
internal sealed class ReleaseRequestedException(string by) : Exception($"{by} asked for it")
{
    /// <summary>Who.</summary>
    public string By => by;
}
