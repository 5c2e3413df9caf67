using JobLocks.Gate;
using JobLocks.Inspection;
using Npgsql;
using NpgsqlTypes;

namespace JobLocks.Line;

/// <summary>What a run says that comes to stand in the line: enough to give it its place once more.</summary>
/// <param name="Run">Who.</param>
/// <param name="Wish">What for.</param>
/// <param name="AtMost">How long it waits; null for as long as it takes.</param>
internal sealed record Stance(RunAddress Run, LockWish Wish, TimeSpan? AtMost)
{
    /// <summary>As <see cref="EntrySql.Stand"/> wants it, where no more than some stand already.</summary>
    public NpgsqlParameter[] ToStand(int atMost) => [.. Said, Milliseconds, new NpgsqlParameter<int> { TypedValue = atMost }, Job];

    /// <summary>As <see cref="EntrySql.Park"/> wants it.</summary>
    public NpgsqlParameter[] ToPark(LinePlace place) =>
    [
        new NpgsqlParameter<long> { TypedValue = place.Place },
        .. Said,
        new NpgsqlParameter<DateTime> { TypedValue = place.Since.UtcDateTime, NpgsqlDbType = NpgsqlDbType.TimestampTz },
        Milliseconds,
        Job,
    ];

    /// <summary>As <see cref="EntrySql.Restore"/> wants it, for runs of one store.</summary>
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
            new NpgsqlParameter<string[]> { TypedValue = [.. stances.Select(static stance => stance.Name)] },
            new NpgsqlParameter<short[]> { TypedValue = [.. stances.Select(static stance => (short)stance.Wish.Mode)] },
            new NpgsqlParameter<int[]> { TypedValue = [.. stances.Select(static stance => stance.Wish.Limit)] },
            new NpgsqlParameter<DateTime[]> { TypedValue = [.. places.Select(static place => place.Since.UtcDateTime)], NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.TimestampTz },
            new NpgsqlParameter<double?[]> { TypedValue = [.. stances.Select(static stance => stance.AtMost?.TotalMilliseconds)] },
            new NpgsqlParameter<string?[]> { TypedValue = [.. stances.Select(static stance => stance.ShownJob)] },
        ];
    }

    private IEnumerable<NpgsqlParameter> Said =>
    [
        new NpgsqlParameter<string> { TypedValue = Run.Store },
        new NpgsqlParameter<string> { TypedValue = Run.Run },
        new NpgsqlParameter<string> { TypedValue = Run.Queue },
        new NpgsqlParameter<long> { TypedValue = Wish.Key.Value },
        new NpgsqlParameter<string> { TypedValue = Name },
        new NpgsqlParameter<short> { TypedValue = (short)Wish.Mode },
        new NpgsqlParameter<int> { TypedValue = Wish.Limit },
    ];

    private NpgsqlParameter Job => new() { NpgsqlDbType = NpgsqlDbType.Text, Value = ShownJob ?? (object)DBNull.Value };

    private string? ShownJob => Run.Job is { } job ? Shown.Cut(job.Replace('\0', '\uFFFD'), Shown.LongestRun) : null;

    private NpgsqlParameter Milliseconds => new() { NpgsqlDbType = NpgsqlDbType.Double, Value = AtMost?.TotalMilliseconds ?? (object)DBNull.Value };

    /// <summary>
    /// PostgreSQL keeps no NUL in a text, and nobody reads ten thousand characters. The slots of a limit are made of the whole name.
    /// </summary>
    private string Name
    {
        get
        {
            var name = (Wish.Name ?? Wish.ToString()).Replace('\0', '\uFFFD');
            return Wish.Limit > 1 ? name : Shown.Cut(name);
        }
    }
}
