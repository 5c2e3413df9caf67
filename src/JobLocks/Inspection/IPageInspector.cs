namespace JobLocks.Inspection;

/// <summary>The inspector that the dashboards of this process use. Thread-safe.</summary>
internal interface IPageInspector : IJobLockInspector
{
    /// <summary>The readings, shared by all pages of this process.</summary>
    PageReadings Pages { get; }

    /// <summary>
    /// Requests the release of a lock or slot of one name: <see cref="IJobLockInspector.RequestReleaseAsync"/>, where locks of other names are left alone. A
    /// page may be authorized for one name only.
    /// </summary>
    /// <param name="nameKey">The key of the name.</param>
    /// <param name="slotKey">The key of the lock: that of the name, or of one of its slots.</param>
    /// <param name="by">Who requests it.</param>
    /// <param name="atMost">The longest wait for the release.</param>
    /// <param name="stop">Cancels the call.</param>
    Task<ReleaseAnswer> RequestReleaseAsync(LockKey nameKey, LockKey slotKey, string by, TimeSpan? atMost, CancellationToken stop);

    /// <summary>Why a run does not start: <see cref="IJobLockInspector.ExplainAsync"/> for the runs of one job store.</summary>
    /// <param name="run">The run.</param>
    /// <param name="store">The id of its job store; null for all stores.</param>
    /// <param name="stop">Cancels the call.</param>
    /// <exception cref="JobLocksUnavailableException">PostgreSQL cannot be asked.</exception>
    Task<string?> ExplainAsync(string run, string? store, CancellationToken stop);
}
