namespace JobLocks.Chaos;

/// <summary>One line of the history.</summary>
/// <param name="Stamp">From one sequence of the database: the order of all events.</param>
/// <param name="At">When, in seconds of the database's clock.</param>
/// <param name="Act">What.</param>
/// <param name="Process">Where.</param>
/// <param name="Run">Which offer; 0 for none.</param>
/// <param name="Attempt">Which of its attempts.</param>
/// <param name="Place">Its last place in the line; 0 for none.</param>
internal sealed record Event(long Stamp, double At, Act Act, string Process, int Run = 0, string Attempt = "", long Place = 0)
{
    /// <summary>For a run that enters: whether PostgreSQL said that its process had the lock.</summary>
    public bool HadLock { get; init; } = true;
}
