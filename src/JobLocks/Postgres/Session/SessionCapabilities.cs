namespace JobLocks.Postgres.Session;

/// <summary>Which parts of the schema the session can use. Immutable.</summary>
/// <param name="HasWaitQueue">Whether runs can enter the wait queue; null before the first session is open.</param>
/// <param name="IsWaitQueueSuspended">Whether the wait queue is unusable only for now, because another session locks its table exclusively.</param>
/// <param name="HasReadModel">Whether the session can write to the read model, which shows the holders.</param>
/// <param name="HasLimits">Whether the limits that processes declare can be compared.</param>
/// <param name="HasTimeline">Whether the session can write the runs and the samples that the plots of the pages show.</param>
/// <param name="HasFence">Whether grants have fencing tokens.</param>
internal sealed record SessionCapabilities(bool? HasWaitQueue, bool IsWaitQueueSuspended, bool HasReadModel, bool HasLimits, bool HasTimeline, bool HasFence)
{
    /// <summary>Before the first session is open.</summary>
    public static SessionCapabilities Unknown { get; } = new(HasWaitQueue: null, IsWaitQueueSuspended: false, HasReadModel: false, HasLimits: false, HasTimeline: false, HasFence: false);

    /// <summary>What an open connection can use.</summary>
    public static SessionCapabilities Of(SessionConnection connection) =>
        new(connection.HasWaitQueue, connection.IsWaitQueueSuspended, connection.HasReadModel, connection.HasLimits, connection.HasTimeline, connection.HasFence);
}
