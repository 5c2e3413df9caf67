namespace JobLocks.Inspection;

/// <summary>An inspector of this process, for its dashboards.</summary>
internal interface IPageInspector : IJobLockInspector
{
    /// <summary>The readings that all pages of this process share.</summary>
    PageLooks Pages { get; }

    /// <summary>Why a run does not start: <see cref="IJobLockInspector.ExplainAsync"/> for the runs of one job store.</summary>
    /// <param name="run">The run.</param>
    /// <param name="store">The name of its job store; null for all.</param>
    /// <param name="stop">Gives up.</param>
    /// <exception cref="JobLocksUnavailableException">The server cannot be asked.</exception>
    Task<string?> ExplainAsync(string run, string? store, CancellationToken stop);
}
