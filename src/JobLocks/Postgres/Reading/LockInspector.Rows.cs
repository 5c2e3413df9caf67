using JobLocks.Postgres.WaitQueue;
using JobLocks.Primitives;
using JobLocks.WaitQueue;
using Npgsql;

namespace JobLocks.Postgres.Reading;

/// <content>What stands in the rows that PostgreSQL answers.</content>
internal sealed partial class LockInspector
{
    /// <param name="row">The first column is how many there are.</param>
    /// <param name="at">The column of the key, which the others follow.</param>
    private (long Total, HeldLock? Item) ReadHeld(NpgsqlDataReader row, int at = 1)
    {
        if (row.IsDBNull(at)) return (row.GetInt64(0), null);

        var key = new LockKey(row.GetInt64(at));
        var here = row.GetInt32(at + 4) == _dispatcher.CurrentBackend ? _dispatcher.HeldSince(DateTimeOffset.MaxValue).Find(handle => handle.Key == key) : null;
        var line = row.IsDBNull(at + 1) ? here?.Line ?? key : new(row.GetInt64(at + 1));
        var holder = ReadHolder(row, at + 4, store: at + 13);
        return (row.GetInt64(0), new(
            key,
            line,
            Name(row, at + 2) ?? (here?.Name is { } name ? DisplayText.Cut(name) : null),
            (LockMode)row.GetInt32(at + 3),
            here is null || holder.Run is not null ? holder : holder with { Run = here.Holder.Run, Since = here.Since, Store = here.Holder.Store },
            Usual(row, at + 11)));
    }

    private (long Total, WaitingName? Item) ReadWaiting(NpgsqlDataReader row) => row.IsDBNull(14)
        ? (row.GetInt64(0), null)
        : (row.GetInt64(0), new(
            new(row.GetInt64(14)), Name(row, 15)!, row.GetInt64(16), Instant(row, 17)!.Value, row.IsDBNull(1) ? null : ReadHolder(row, 5, store: 19), Usual(row, 12))
        {
            Unserved = row.GetInt64(20),
        });

    private static (long Total, QueuedRun? Item) ReadJob(NpgsqlDataReader row, LockKey key)
    {
        if (row.IsDBNull(1)) return (row.GetInt64(0), null);

        var store = row.GetString(4);
        return (row.GetInt64(0), new(
            key, Name(row, 1)!, row.GetInt64(2), (LockMode)row.GetInt16(3), (VolatileStore.Is(store) ? store[VolatileStore.Prefix.Length..] : store).Split(' ')[0], store, row.GetString(5), row.GetString(6), Instant(row, 7)!.Value, Turn(row, 8))
        { Job = row.GetValue(9) as string, IsServed = row.GetBoolean(10) });
    }

    private LockHolder ReadHolder(NpgsqlDataReader row, int at, int store)
    {
        var holder = new LockHolder
        {
            Backend = row.GetInt32(at),
            Run = row.GetValue(at + 1) is string { Length: > 0 } run ? run : null,
            Store = row.GetValue(store) as string,
            Since = Instant(row, at + 2),
            Address = row.GetValue(at + 4) as string,
            ConnectedSince = Instant(row, at + 5),
            IsForeign = false,
        }.Named(row.GetValue(at + 3) as string);
        return holder with { IsForeign = row.GetBoolean(at + 6) && holder.Host is null && holder.Backend != _dispatcher.CurrentBackend };
    }

    private LockProcess ReadProcess(NpgsqlDataReader row, int at, int locks)
    {
        var session = new LockHolder { Backend = row.GetInt32(at), Address = row.GetValue(at + 4) as string, ConnectedSince = Instant(row, at + 5), IsForeign = false }.Named(row.GetValue(at + 3) as string);
        return new(session with { IsForeign = row.GetBoolean(at + 6) && session.Host is null && session.Backend != _dispatcher.CurrentBackend }, row.GetInt64(locks));
    }

    /// <summary>Other processes may have written it down whole.</summary>
    private static string? Name(NpgsqlDataReader row, int at) => row.GetValue(at) is string name ? DisplayText.Cut(name) : null;

    private static TimeSpan? Usual(NpgsqlDataReader row, int at) =>
        !row.IsDBNull(at) && row.GetInt64(at) is var runs and > 0 ? TimeSpan.FromSeconds(row.GetDouble(at + 1) / runs) : null;

    /// <summary>Null for a run that a person has paused, and for one that is late while others of its queue come: see <see cref="WakeSql.MarkHeldBack"/> and <see cref="EntrySql.Dequeue"/>.</summary>
    private static DateTimeOffset? Turn(NpgsqlDataReader row, int at) => Instant(row, at) is { } came && came > DateTimeOffset.UnixEpoch ? came : null;

    private static DateTimeOffset? Instant(NpgsqlDataReader row, int at) => row.IsDBNull(at) ? null : new(row.GetDateTime(at));
}
