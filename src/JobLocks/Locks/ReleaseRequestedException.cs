namespace JobLocks.Locks;

/// <summary>A lock counts as lost although its session still holds it, because a user has requested its release.</summary>
internal sealed class ReleaseRequestedException(string by) : Exception($"{by} asked for it")
{
    /// <summary>The user who has requested the release.</summary>
    public string By => by;
}
