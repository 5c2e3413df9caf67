namespace JobLocks.Inspection;

/// <summary>The inspector that the dashboards of this process use. Thread-safe.</summary>
internal interface IPageInspector : IJobLockInspector
{
    /// <summary>The readings, shared by all pages of this process.</summary>
    PageReadings Pages { get; }

    /// <summary>Why a run does not start: <see cref="IJobLockInspector.ExplainAsync"/> for the runs of one job store.</summary>
    /// <param name="run">The run.</param>
    /// <param name="store">The id of its job store; null for all stores.</param>
    /// <param name="stop">Cancels the call.</param>
    /// <exception cref="JobLocksUnavailableException">PostgreSQL cannot be asked.</exception>
    Task<string?> ExplainAsync(string run, string? store, CancellationToken stop);
}
