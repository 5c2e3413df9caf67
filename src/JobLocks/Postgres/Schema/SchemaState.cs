namespace JobLocks.Postgres.Schema;

/// <summary>What exists of the schema, and which parts of it this role may use.</summary>
/// <param name="Version">The version; 0 if the schema is missing or incomplete.</param>
/// <param name="Fence">The OID of the sequence of the fencing tokens; 0 if it is missing or this role may not use it.</param>
/// <param name="HasWaitQueue">Whether runs can enter the wait queue.</param>
/// <param name="HasReadModel">Whether the session can write to the read model, which shows the holders.</param>
/// <param name="HasLimits">Whether the limits that processes declare can be compared.</param>
/// <param name="HasTimeline">Whether the session can write the runs and the samples that the plots of the pages show.</param>
internal readonly record struct SchemaState(int Version, uint Fence, bool HasWaitQueue, bool HasReadModel, bool HasLimits, bool HasTimeline)
{
    /// <summary>Why the schema must not be used, with the remedy; null if it can be used.</summary>
    public string? Problem { get; init; }

    /// <summary>A row of <see cref="SchemaSql.ReadState"/>.</summary>
    internal sealed record Row(int Version, long Fence, bool MayDraw, bool HasWaitQueue, bool HasReadModel, bool HasLimits, bool HasTimeline)
    {
        public SchemaState ToState() => new(Version, MayDraw ? (uint)Fence : 0, HasWaitQueue, HasReadModel, HasLimits, HasTimeline);
    }
}
