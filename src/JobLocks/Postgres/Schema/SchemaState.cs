namespace JobLocks.Postgres.Schema;

/// <summary>What there is of our schema, and what this role may do with it.</summary>
/// <param name="Version">Its version; 0 where it is not there.</param>
/// <param name="Fence">The sequence of the fencing tokens; 0 where there is none, or where it is not ours to use.</param>
/// <param name="HasWaitQueue">Whether runs can stand in the wait queue.</param>
/// <param name="HasReadModel">Whether it can be written down who holds what.</param>
/// <param name="HasLimits">Whether the limits that processes declare can be compared.</param>
internal readonly record struct SchemaState(int Version, uint Fence, bool HasWaitQueue, bool HasReadModel, bool HasLimits)
{
    /// <summary>Why it must not be used, with the cure; null where it may.</summary>
    public string? Problem { get; init; }

    /// <summary>A row of <see cref="SchemaSql.Look"/>.</summary>
    internal sealed record Row(int Version, long Fence, bool MayDraw, bool HasWaitQueue, bool HasReadModel, bool HasLimits)
    {
        public SchemaState ToState() => new(Version, MayDraw ? (uint)Fence : 0, HasWaitQueue, HasReadModel, HasLimits);
    }
}
