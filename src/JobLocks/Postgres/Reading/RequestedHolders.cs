namespace JobLocks.Postgres.Reading;

/// <summary>The holders of a lock at the time when its release was requested. The request does not apply to runs that acquire the lock later.</summary>
internal sealed class RequestedHolders(IReadOnlyList<RequestedHolders.Row> firstReading)
{
    private readonly HashSet<int> _backends = [.. firstReading.Select(static row => row.Backend)];
    private readonly HashSet<(int Backend, long Number)> _seen =
        [.. firstReading.Where(static row => row.Number is not null).Select(static row => (row.Backend, row.Number!.Value))];
    private readonly HashSet<(int Backend, long Number)> _requested = [];

    /// <summary>When the holders were read, by the clock of the server.</summary>
    public DateTimeOffset At { get; } = firstReading[0].At;

    public int[] Backends => [.. _backends];

    /// <summary>The backends that have no request yet: a lock that was acquired a moment ago is not in the read model.</summary>
    public int[] WithoutRequest => [.. _backends.Except(_requested.Select(static requested => requested.Backend))];

    public bool IsAnyRequested => _requested.Count > 0;

    public void AddRequested(int backend, long number) => _requested.Add((backend, number));

    /// <summary>Which of the rows belong to these holders.</summary>
    public List<Row> StillHolding(IEnumerable<Row> current) => [.. current.Where(IsSameHolder)];

    /// <summary>
    /// A process can hold a shared lock several times, and acquire it again after the first reading. A holder of the first reading is recognised by its
    /// number: the clock of its process can be ahead of the clock of the server.
    /// </summary>
    private bool IsSameHolder(Row row) => _backends.Contains(row.Backend)
        && (row.Number is { } number ? row.Since <= At || _seen.Contains((row.Backend, number))
            || _requested.Contains((row.Backend, number)) : WithoutRequest.Contains(row.Backend));

    /// <summary>A holder. Its number and time are null where the read model does not contain it.</summary>
    internal sealed record Row(DateTimeOffset At, int Backend, bool IsForeign, long? Number, DateTimeOffset? Since, bool IsRequested);
}
