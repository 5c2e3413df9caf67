namespace JobLocks.Locks;

/// <summary>A lock counts as lost although its session still holds it, because a user has requested its release.</summary>
/// <param name="by">The user who has requested the release.</param>
/// <param name="requested">The lock whose release was requested, where that is another lock of the same run; otherwise null.</param>
internal sealed class ReleaseRequestedException(string by, string? requested = null)
    : Exception(requested is null ? $"{by} asked for it" : $"{by} asked for {requested}, which was acquired together with it")
{
    /// <summary>The user who has requested the release.</summary>
    public string By => by;
}
