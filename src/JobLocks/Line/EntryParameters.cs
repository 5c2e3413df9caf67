using JobLocks.Gate;
using JobLocks.Inspection;
using Npgsql;
using NpgsqlTypes;

namespace JobLocks.Line;

/// <summary>The parameters of the statements in <see cref="EntrySql"/>.</summary>
internal static class EntryParameters
{
    /// <summary>For <see cref="EntrySql.Stand"/>.</summary>
    /// <param name="stance">The run and its lock.</param>
    /// <param name="atMost">How many runs may wait.</param>
    public static NpgsqlParameter[] ToStand(Stance stance, int atMost) => [.. Common(stance), Milliseconds(stance), new NpgsqlParameter<int> { TypedValue = atMost }, Job(stance)];

    /// <summary>For <see cref="EntrySql.Park"/>.</summary>
    public static NpgsqlParameter[] ToPark(LinePlace place)
    {
        var stance = place.Stance!;
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
    public static NpgsqlParameter[] ToRestore(IReadOnlyList<LinePlace> places)
    {
        var stances = places.Select(static place => place.Stance!).ToList();
        return
        [
            new NpgsqlParameter<string> { TypedValue = stances[0].Run.Store },
            new NpgsqlParameter<long[]> { TypedValue = [.. places.Select(static place => place.Place)] },
            new NpgsqlParameter<string[]> { TypedValue = [.. stances.Select(static stance => stance.Run.Run)] },
            new NpgsqlParameter<string[]> { TypedValue = [.. stances.Select(static stance => stance.Run.Queue)] },
            new NpgsqlParameter<long[]> { TypedValue = [.. stances.Select(static stance => stance.Wish.Key.Value)] },
            new NpgsqlParameter<string[]> { TypedValue = [.. stances.Select(static stance => NameIn(stance.Wish))] },
            new NpgsqlParameter<short[]> { TypedValue = [.. stances.Select(static stance => (short)stance.Wish.Mode)] },
            new NpgsqlParameter<int[]> { TypedValue = [.. stances.Select(static stance => stance.Wish.Limit)] },
            new NpgsqlParameter<DateTime[]> { TypedValue = [.. places.Select(static place => place.Since.UtcDateTime)], NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.TimestampTz },
            new NpgsqlParameter<double?[]> { TypedValue = [.. stances.Select(static stance => stance.AtMost?.TotalMilliseconds)] },
            new NpgsqlParameter<string?[]> { TypedValue = [.. stances.Select(static stance => JobOf(stance.Run))] },
        ];
    }

    private static IEnumerable<NpgsqlParameter> Common(Stance stance) =>
    [
        new NpgsqlParameter<string> { TypedValue = stance.Run.Store },
        new NpgsqlParameter<string> { TypedValue = stance.Run.Run },
        new NpgsqlParameter<string> { TypedValue = stance.Run.Queue },
        new NpgsqlParameter<long> { TypedValue = stance.Wish.Key.Value },
        new NpgsqlParameter<string> { TypedValue = NameIn(stance.Wish) },
        new NpgsqlParameter<short> { TypedValue = (short)stance.Wish.Mode },
        new NpgsqlParameter<int> { TypedValue = stance.Wish.Limit },
    ];

    private static NpgsqlParameter Job(Stance stance) => new() { NpgsqlDbType = NpgsqlDbType.Text, Value = JobOf(stance.Run) ?? (object)DBNull.Value };

    private static NpgsqlParameter Milliseconds(Stance stance) => new() { NpgsqlDbType = NpgsqlDbType.Double, Value = stance.AtMost?.TotalMilliseconds ?? (object)DBNull.Value };

    private static string? JobOf(RunAddress run) => run.Job is { } job ? Shown.Cut(WithoutNul(job), Shown.LongestRun) : null;

    /// <summary>Cut to a length that people can read. Not where the lock has a limit: the keys of its slots are made of the whole name.</summary>
    private static string NameIn(LockWish wish)
    {
        var name = WithoutNul(wish.Name ?? wish.ToString());
        return wish.Limit > 1 ? name : Shown.Cut(name);
    }

    /// <summary>A text of PostgreSQL cannot contain NUL.</summary>
    private static string WithoutNul(string text) => text.Replace('\0', '\uFFFD');
}
