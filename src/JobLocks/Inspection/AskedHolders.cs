namespace JobLocks.Inspection;

/// <summary>Those who had a lock when it was asked for: whoever takes it later is not meant.</summary>
internal sealed class AskedHolders(IReadOnlyList<AskedHolders.Row> first)
{
    private readonly HashSet<int> _backends = [.. first.Select(static row => row.Backend)];
    private readonly HashSet<(int Backend, long Nth)> _told = [];

    /// <summary>When they were seen, by the clock of the server.</summary>
    public DateTimeOffset At { get; } = first[0].At;

    public int[] Backends => [.. _backends];

    /// <summary>Those of whom nobody was told yet: what is held for a moment only is not written down.</summary>
    public int[] Untold => [.. _backends.Except(_told.Select(static one => one.Backend))];

    public bool IsAnyTold => _told.Count > 0;

    public void Told(int backend, long nth) => _told.Add((backend, nth));

    /// <summary>Which of them have it still.</summary>
    public List<Row> Among(IEnumerable<Row> now) => [.. now.Where(Has)];

    /// <summary>A process may have several that share it, and one that came later among them.</summary>
    private bool Has(Row row) => _backends.Contains(row.Backend)
        && (row.Nth is { } nth ? row.Since <= At || _told.Contains((row.Backend, nth)) : Untold.Contains(row.Backend));

    /// <summary>One who has it; without a number where it is not written down.</summary>
    internal sealed record Row(DateTimeOffset At, int Backend, bool IsForeign, long? Nth, DateTimeOffset? Since, bool IsAsked);
}
