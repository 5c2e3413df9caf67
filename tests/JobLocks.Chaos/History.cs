using Npgsql;

namespace JobLocks.Chaos;

/// <summary>The history, in a table. Every event is stamped by one sequence.</summary>
internal sealed class History(NpgsqlDataSource database)
{
    /// <summary>A trigger of ours writes down which places a run had in the line.</summary>
    private const string Create =
        """
        CREATE SCHEMA chaos;
        CREATE SCHEMA chaos_quartz;
        CREATE SEQUENCE chaos.stamp;
        CREATE TABLE chaos.events (stamp bigint PRIMARY KEY DEFAULT nextval('chaos.stamp'), act int, process text, run int, attempt text, id text, at timestamptz DEFAULT clock_timestamp());
        CREATE TABLE chaos.places (id text, place bigint);
        CREATE FUNCTION chaos.note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO chaos.places VALUES (new.run, new.place); RETURN new; END';
        """;

    private const string Watch = "CREATE TRIGGER note AFTER INSERT ON joblocks.line FOR EACH ROW EXECUTE FUNCTION chaos.note()";

    private const string Locks =
        """
        SELECT (classid::bigint << 32) | objid::bigint, pid
        FROM   pg_locks
        WHERE  locktype = 'advisory'
        AND    objsubid = 1
        AND    granted
        """;

    private const string Read =
        """
        SELECT   stamp, extract(epoch FROM at)::float8, act, process, run, attempt, coalesce((SELECT max(place) FROM chaos.places p WHERE p.id = e.id), 0)
        FROM     chaos.events e
        ORDER BY stamp
        """;

    public async Task PrepareAsync(CancellationToken stop) => await database.CreateCommand(Create).ExecuteNonQueryAsync(stop);

    /// <summary>From here on places are noted: the line must be there.</summary>
    public async Task WatchLineAsync(CancellationToken stop) => await database.CreateCommand(Watch).ExecuteNonQueryAsync(stop);

    /// <summary>An event happens now.</summary>
    public void Add(Act act, string process, int run = 0, string attempt = "", string id = "")
    {
        using var command = database.CreateCommand("INSERT INTO chaos.events (act, process, run, attempt, id) VALUES ($1, $2, $3, $4, $5)");
        foreach (var value in new object[] { (int)act, process, run, attempt, id }) command.Parameters.Add(new() { Value = value });
        command.ExecuteNonQuery();
    }

    public async Task<IReadOnlyList<Event>> ReadAsync(CancellationToken stop)
    {
        await using var command = database.CreateCommand(Read);
        await using var reader = await command.ExecuteReaderAsync(stop);
        var events = new List<Event>();
        while (await reader.ReadAsync(stop))
            events.Add(new(reader.GetInt64(0), reader.GetDouble(1), (Act)reader.GetInt32(2), reader.GetString(3), reader.GetInt32(4), reader.GetString(5), reader.GetInt64(6)));
        return events;
    }

    /// <summary>The last stamp.</summary>
    public Task<long> StampAsync(CancellationToken stop) => AskAsync<long>("SELECT last_value FROM chaos.stamp", stop);

    /// <summary>The key and the backend of each lock of a run.</summary>
    public async Task<IReadOnlySet<(long Key, int Backend)>> LocksAsync(CancellationToken stop)
    {
        await using var command = database.CreateCommand(Locks);
        await using var reader = await command.ExecuteReaderAsync(stop);
        var locks = new HashSet<(long, int)>();
        while (await reader.ReadAsync(stop)) locks.Add((reader.GetInt64(0), reader.GetInt32(1)));
        return locks;
    }

    public async Task<T> AskAsync<T>(string sql, CancellationToken stop)
    {
        await using var command = database.CreateCommand(sql);
        return (T)(await command.ExecuteScalarAsync(stop))!;
    }
}
