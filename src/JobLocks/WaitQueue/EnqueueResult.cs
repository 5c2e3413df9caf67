namespace JobLocks.WaitQueue;

/// <summary>What came of the request to stand in the line.</summary>
/// <param name="Place">The run's place; null where the line takes no more.</param>
/// <param name="Ahead">How many stand before it; without a place, how many stand there.</param>
/// <param name="LeftKey">The lock that it waited for before, where that was another one.</param>
/// <param name="IsNew">Whether it stood nowhere before.</param>
internal sealed record EnqueueResult(QueueEntry? Place, int Ahead, LockKey? LeftKey = null, bool IsNew = false)
{
    /// <summary>Whether the stores of those that stand there have said that they are: only then may the run be dropped on their account.</summary>
    public bool IsVouchedFor { get; init; }
}
