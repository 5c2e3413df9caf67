using JobLocks.Postgres.Locks;
using JobLocks.Postgres.WaitQueue;
using JobLocks.Primitives;
using JobLocks.WaitQueue;
using Npgsql;

namespace JobLocks.Postgres.Reading;

/// <summary>Reads the rows that PostgreSQL returns to inspection. Completes those of this process with what only this process knows. Thread-safe.</summary>
internal sealed class InspectionRows(LockDispatcher dispatcher)
{
    /// <param name="row">The row. Its first column is the total number.</param>
    /// <param name="at">The column of the key. The other columns follow it.</param>
    /// <param name="waitingSince">The column with the time since which the run waited; null where the statement does not read it.</param>
    public (long Total, HeldLock? Item) ReadHeld(NpgsqlDataReader row, int at = 1, int? waitingSince = null)
    {
        if (row.IsDBNull(at)) return (row.GetInt64(0), null);

        var key = new LockKey(row.GetInt64(at));
        var own = row.GetInt32(at + 4) == dispatcher.Sessions.Backend ? dispatcher.GrantedUntil(DateTimeOffset.MaxValue).Find(handle => handle.Key == key) : null;
        var nameKey = row.IsDBNull(at + 1) ? own?.NameKey ?? key : new(row.GetInt64(at + 1));
        var holder = ReadHolder(row, at + 4, store: at + 13) with { WaitingSince = waitingSince is { } column ? Instant(row, column) : null };
        return (row.GetInt64(0), new(
            key,
            nameKey,
            Name(row, at + 2) ?? (own?.Name is { } name ? DisplayText.Cut(name) : null),
            (LockMode)row.GetInt32(at + 3),
            own is null || holder.Run is not null ? holder : holder with { Run = own.Holder.Run, Since = own.Since, Store = own.Holder.Store, WaitingSince = own.WaitingSince },
            UsualHold(row, at + 11)));
    }

    /// <param name="row">The row. Its first column is the total number.</param>
    public (long Total, WaitingName? Item) ReadWaiting(NpgsqlDataReader row) => row.IsDBNull(14)
        ? (row.GetInt64(0), null)
        : (row.GetInt64(0), new(
            new(row.GetInt64(14)), Name(row, 15)!, row.GetInt64(16), Instant(row, 17)!.Value, row.IsDBNull(1) ? null : ReadHolder(row, 5, store: 19), UsualHold(row, 12))
        {
            Unserved = row.GetInt64(20),
        });

    /// <param name="row">The row. Its first column is the total number.</param>
    /// <param name="key">The key of the lock that the run waits for.</param>
    public static (long Total, QueuedRun? Item) ReadQueuedRun(NpgsqlDataReader row, LockKey key)
    {
        if (row.IsDBNull(1)) return (row.GetInt64(0), null);

        var store = row.GetString(4);
        return (row.GetInt64(0), new(
            key, Name(row, 1)!, row.GetInt64(2), (LockMode)row.GetInt16(3), (VolatileStore.Is(store) ? store[VolatileStore.Prefix.Length..] : store).Split(' ')[0],
                store, row.GetString(5), row.GetString(6), Instant(row, 7)!.Value, WokenAt(row, 8))
        { Job = row.GetValue(9) as string, IsServed = row.GetBoolean(10), IsAboutToStart = row.GetBoolean(11) });
    }

    public LockHolder ReadHolder(NpgsqlDataReader row, int at, int store)
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
        return holder with { IsForeign = row.GetBoolean(at + 6) && holder.Host is null && holder.Backend != dispatcher.Sessions.Backend };
    }

    public LockProcess ReadProcess(NpgsqlDataReader row, int at, int locks)
    {
        var session = new LockHolder { Backend = row.GetInt32(at), Address = row.GetValue(at + 4) as string, ConnectedSince = Instant(row, at + 5), IsForeign = false }
            .Named(row.GetValue(at + 3) as string);
        return new(session with { IsForeign = row.GetBoolean(at + 6) && session.Host is null && session.Backend != dispatcher.Sessions.Backend }, row.GetInt64(locks));
    }

    /// <summary>Cuts a name: another process may have written it in full length.</summary>
    public static string? Name(NpgsqlDataReader row, int at) => row.GetValue(at) is string name ? DisplayText.Cut(name) : null;

    public static TimeSpan? UsualHold(NpgsqlDataReader row, int at) =>
        !row.IsDBNull(at) && row.GetInt64(at) is var runs and > 0 ? TimeSpan.FromSeconds(row.GetDouble(at + 1) / runs) : null;

    /// <summary>Null for the two marks of <see cref="WaitQueueSql"/>: paused by hand; late, but another run of its scheduler queue has reached a worker since.</summary>
    public static DateTimeOffset? WokenAt(NpgsqlDataReader row, int at) => Instant(row, at) is { } woken && woken > DateTimeOffset.UnixEpoch ? woken : null;

    public static DateTimeOffset? Instant(NpgsqlDataReader row, int at) => row.IsDBNull(at) ? null : new(row.GetDateTime(at));
}
