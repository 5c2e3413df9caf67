using JobLocks.Locks;
using JobLocks.Primitives;
using JobLocks.WaitQueue;
using Npgsql;
using NpgsqlTypes;

namespace JobLocks.Postgres.WaitQueue;

/// <summary>The parameters of the statements in <see cref="EntrySql"/>.</summary>
internal static class EntryParameters
{
    /// <summary>For <see cref="EntrySql.Enqueue"/>.</summary>
    /// <param name="request">The run and its lock.</param>
    /// <param name="maxWaiting">How many runs may wait.</param>
    public static NpgsqlParameter[] ToEnqueue(QueueEntryRequest request, int maxWaiting) =>
        [.. Common(request), Milliseconds(request), new NpgsqlParameter<int> { TypedValue = maxWaiting }, Job(request), new NpgsqlParameter<bool> { TypedValue = request.Run.IsNewRun }];

    /// <summary>For <see cref="EntrySql.ParkOrRestore"/>.</summary>
    public static NpgsqlParameter[] ToParkOrRestore(QueueEntry entry)
    {
        var request = entry.Request!;
        return
        [
            new NpgsqlParameter<long> { TypedValue = entry.Number },
            .. Common(request),
            new NpgsqlParameter<DateTime> { TypedValue = entry.Since.UtcDateTime, NpgsqlDbType = NpgsqlDbType.TimestampTz },
            Milliseconds(request),
            Job(request),
        ];
    }

    /// <summary>For <see cref="EntrySql.Restore"/>. All entries are of one store.</summary>
    public static NpgsqlParameter[] ToRestore(IReadOnlyList<QueueEntry> entries)
    {
        var requests = entries.Select(static entry => entry.Request!).ToList();
        return
        [
            new NpgsqlParameter<string> { TypedValue = requests[0].Run.Store },
            new NpgsqlParameter<long[]> { TypedValue = [.. entries.Select(static entry => entry.Number)] },
            new NpgsqlParameter<string[]> { TypedValue = [.. requests.Select(static request => request.Run.Run)] },
            new NpgsqlParameter<string[]> { TypedValue = [.. requests.Select(static request => request.Run.Queue)] },
            new NpgsqlParameter<long[]> { TypedValue = [.. requests.Select(static request => request.Lock.Key.Value)] },
            new NpgsqlParameter<string[]> { TypedValue = [.. requests.Select(static request => NameIn(request.Lock))] },
            new NpgsqlParameter<short[]> { TypedValue = [.. requests.Select(static request => (short)request.Lock.Mode)] },
            new NpgsqlParameter<int[]> { TypedValue = [.. requests.Select(static request => request.Lock.Limit)] },
            new NpgsqlParameter<DateTime[]> { TypedValue = [.. entries.Select(static entry => entry.Since.UtcDateTime)],
                NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.TimestampTz },
            new NpgsqlParameter<double?[]> { TypedValue = [.. requests.Select(static request => request.AtMost?.TotalMilliseconds)] },
            new NpgsqlParameter<string?[]> { TypedValue = [.. requests.Select(static request => JobOf(request.Run))] },
        ];
    }

    private static IEnumerable<NpgsqlParameter> Common(QueueEntryRequest request) =>
    [
        new NpgsqlParameter<string> { TypedValue = request.Run.Store },
        new NpgsqlParameter<string> { TypedValue = request.Run.Run },
        new NpgsqlParameter<string> { TypedValue = request.Run.Queue },
        new NpgsqlParameter<long> { TypedValue = request.Lock.Key.Value },
        new NpgsqlParameter<string> { TypedValue = NameIn(request.Lock) },
        new NpgsqlParameter<short> { TypedValue = (short)request.Lock.Mode },
        new NpgsqlParameter<int> { TypedValue = request.Lock.Limit },
    ];

    private static NpgsqlParameter Job(QueueEntryRequest request) => new() { NpgsqlDbType = NpgsqlDbType.Text, Value = JobOf(request.Run) ?? (object)DBNull.Value };

    private static NpgsqlParameter Milliseconds(QueueEntryRequest request) =>
        new() { NpgsqlDbType = NpgsqlDbType.Double, Value = request.AtMost?.TotalMilliseconds ?? (object)DBNull.Value };

    private static string? JobOf(RunAddress run) => run.Job is { } job ? DisplayText.Cut(WithoutNul(job), DisplayText.LongestRun) : null;

    /// <summary>Cuts a name to a readable length. Not for a lock with a limit: the keys of its slots are computed from the whole name.</summary>
    private static string NameIn(LockRequest request)
    {
        var name = WithoutNul(request.Name ?? request.ToString());
        return request.Limit > 1 ? name : DisplayText.Cut(name);
    }

    /// <summary>A text value in PostgreSQL cannot contain NUL.</summary>
    private static string WithoutNul(string text) => text.Replace('\0', '\uFFFD');
}
