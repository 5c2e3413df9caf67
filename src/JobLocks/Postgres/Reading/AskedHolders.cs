namespace JobLocks.Postgres.Reading;

/// <summary>Those who had a lock when it was asked for: whoever takes it later is not meant.</summary>
internal sealed class AskedHolders(IReadOnlyList<AskedHolders.Row> first)
{
    private readonly HashSet<int> _backends = [.. first.Select(static row => row.Backend)];
    private readonly HashSet<(int Backend, long Nth)> _seen = [.. first.Where(static row => row.Nth is not null).Select(static row => (row.Backend, row.Nth!.Value))];
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

    /// <summary>
    /// A process can hold a shared lock several times, and take it again after the first reading. A holder of the first reading is recognised by its number: the clock of its process can be ahead of
    /// the clock of the server.
    /// </summary>
    private bool Has(Row row) => _backends.Contains(row.Backend)
        && (row.Nth is { } nth ? row.Since <= At || _seen.Contains((row.Backend, nth)) || _told.Contains((row.Backend, nth)) : Untold.Contains(row.Backend));

    /// <summary>One who has it; without a number where it is not written down.</summary>
    internal sealed record Row(DateTimeOffset At, int Backend, bool IsForeign, long? Nth, DateTimeOffset? Since, bool IsAsked);
}
