using JobLocks.Locks;
using JobLocks.Primitives;
using JobLocks.WaitQueue;
using Npgsql;
using NpgsqlTypes;

namespace JobLocks.Postgres.WaitQueue;

/// <summary>The parameters of the statements in <see cref="EntrySql"/>.</summary>
internal static class EntryParameters
{
    /// <summary>For <see cref="EntrySql.Stand"/>.</summary>
    /// <param name="stance">The run and its lock.</param>
    /// <param name="atMost">How many runs may wait.</param>
    public static NpgsqlParameter[] ToEnqueue(QueueEntryRequest stance, int atMost) => [.. Common(stance), Milliseconds(stance), new NpgsqlParameter<int> { TypedValue = atMost }, Job(stance), new NpgsqlParameter<bool> { TypedValue = stance.Run.IsNew }];

    /// <summary>For <see cref="EntrySql.Park"/>.</summary>
    public static NpgsqlParameter[] ToPark(QueueEntry place)
    {
        var stance = place.Request!;
        return
        [
            new NpgsqlParameter<long> { TypedValue = place.Place },
            .. Common(stance),
            new NpgsqlParameter<DateTime> { TypedValue = place.Since.UtcDateTime, NpgsqlDbType = NpgsqlDbType.TimestampTz },
            Milliseconds(stance),
            Job(stance),
        ];
    }

    /// <summary>For <see cref="EntrySql.Restore"/>: entries of one store.</summary>
    public static NpgsqlParameter[] ToRestore(IReadOnlyList<QueueEntry> places)
    {
        var stances = places.Select(static place => place.Request!).ToList();
        return
        [
            new NpgsqlParameter<string> { TypedValue = stances[0].Run.Store },
            new NpgsqlParameter<long[]> { TypedValue = [.. places.Select(static place => place.Place)] },
            new NpgsqlParameter<string[]> { TypedValue = [.. stances.Select(static stance => stance.Run.Run)] },
            new NpgsqlParameter<string[]> { TypedValue = [.. stances.Select(static stance => stance.Run.Queue)] },
            new NpgsqlParameter<long[]> { TypedValue = [.. stances.Select(static stance => stance.Lock.Key.Value)] },
            new NpgsqlParameter<string[]> { TypedValue = [.. stances.Select(static stance => NameIn(stance.Lock))] },
            new NpgsqlParameter<short[]> { TypedValue = [.. stances.Select(static stance => (short)stance.Lock.Mode)] },
            new NpgsqlParameter<int[]> { TypedValue = [.. stances.Select(static stance => stance.Lock.Limit)] },
            new NpgsqlParameter<DateTime[]> { TypedValue = [.. places.Select(static place => place.Since.UtcDateTime)], NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.TimestampTz },
            new NpgsqlParameter<double?[]> { TypedValue = [.. stances.Select(static stance => stance.AtMost?.TotalMilliseconds)] },
            new NpgsqlParameter<string?[]> { TypedValue = [.. stances.Select(static stance => JobOf(stance.Run))] },
        ];
    }

    private static IEnumerable<NpgsqlParameter> Common(QueueEntryRequest stance) =>
    [
        new NpgsqlParameter<string> { TypedValue = stance.Run.Store },
        new NpgsqlParameter<string> { TypedValue = stance.Run.Run },
        new NpgsqlParameter<string> { TypedValue = stance.Run.Queue },
        new NpgsqlParameter<long> { TypedValue = stance.Lock.Key.Value },
        new NpgsqlParameter<string> { TypedValue = NameIn(stance.Lock) },
        new NpgsqlParameter<short> { TypedValue = (short)stance.Lock.Mode },
        new NpgsqlParameter<int> { TypedValue = stance.Lock.Limit },
    ];

    private static NpgsqlParameter Job(QueueEntryRequest stance) => new() { NpgsqlDbType = NpgsqlDbType.Text, Value = JobOf(stance.Run) ?? (object)DBNull.Value };

    private static NpgsqlParameter Milliseconds(QueueEntryRequest stance) => new() { NpgsqlDbType = NpgsqlDbType.Double, Value = stance.AtMost?.TotalMilliseconds ?? (object)DBNull.Value };

    private static string? JobOf(RunAddress run) => run.Job is { } job ? DisplayText.Cut(WithoutNul(job), DisplayText.LongestRun) : null;

    /// <summary>Cut to a length that people can read. Not where the lock has a limit: the keys of its slots are made of the whole name.</summary>
    private static string NameIn(LockRequest request)
    {
        var name = WithoutNul(request.Name ?? request.ToString());
        return request.Limit > 1 ? name : DisplayText.Cut(name);
    }

    /// <summary>A text of PostgreSQL cannot contain NUL.</summary>
    private static string WithoutNul(string text) => text.Replace('\0', '\uFFFD');
}
