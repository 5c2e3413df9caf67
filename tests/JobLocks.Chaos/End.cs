namespace JobLocks.Chaos;

/// <summary>What a run comes to. As a set: the ends that release a continuation, or the ends that are possible.</summary>
[Flags]
internal enum End
{
    None = 0,
    Success = 1,

    /// <summary>Quartz only: a failed run of these Hangfire jobs is deleted.</summary>
    Failure = 2,

    /// <summary>Quartz only.</summary>
    Veto = 4,

    /// <summary>Hangfire only: by hand, skipped, failed, or a continuation whose condition was not met.</summary>
    Deletion = 8,

    /// <summary>Every end that releases a continuation.</summary>
    Any = Success | Failure | Veto | Deletion,

    /// <summary>Quartz only: a continuation whose condition was not met. Its own continuations are discarded with it.</summary>
    Discarded = 16,

    /// <summary>Every end, for a run of which the history cannot tell.</summary>
    Unknown = Any | Discarded,
}
