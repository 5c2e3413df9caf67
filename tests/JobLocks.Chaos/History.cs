using System.Data;
using Npgsql;

namespace JobLocks.Chaos;

/// <summary>The history, in a table. Every event is stamped by one sequence.</summary>
internal sealed class History(NpgsqlDataSource database)
{
    /// <summary>
    /// Database triggers write down which places a run had in the line, by its job where Quartz runs it, and each write of persisted job data.
    /// </summary>
    private const string Create =
        """
        CREATE SCHEMA chaos;
        CREATE SCHEMA chaos_quartz;
        CREATE SEQUENCE chaos.stamp;
        CREATE TABLE chaos.events (stamp bigint PRIMARY KEY DEFAULT nextval('chaos.stamp'), act int, process text, run int, attempt text, id text, had_lock boolean NOT NULL DEFAULT true, at timestamptz DEFAULT clock_timestamp());
        CREATE TABLE chaos.places (id text, place bigint);
        CREATE FUNCTION chaos.note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO chaos.places VALUES (coalesce(new.job, new.run), new.entry); RETURN new; END';
        CREATE TABLE chaos.writes (stamp bigint PRIMARY KEY DEFAULT nextval('chaos.stamp'), job text, before jsonb, after jsonb);
        CREATE FUNCTION chaos.note_write() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN INSERT INTO chaos.writes (job, before, after) VALUES (new.job_name, convert_from(old.job_data, ''UTF8'')::jsonb, convert_from(new.job_data, ''UTF8'')::jsonb); RETURN new; END';
        """;

    private const string Watch =
        """
        CREATE TRIGGER note AFTER INSERT ON joblocks.wait_queue FOR EACH ROW EXECUTE FUNCTION chaos.note();
        CREATE TRIGGER note AFTER UPDATE OF job_data ON chaos_quartz.qrtz_job_details FOR EACH ROW WHEN (new.job_name LIKE 'counter%') EXECUTE FUNCTION chaos.note_write();
        """;

    private const string Locks =
        """
        SELECT (classid::bigint << 32) | objid::bigint, pid
        FROM   pg_locks
        WHERE  locktype = 'advisory'
        AND    objsubid = 1
        AND    granted
        """;

    private const string EnterWithLock =
        """
        INSERT INTO chaos.events (act, process, run, attempt, id, had_lock)
        SELECT $1, $2, $3, $4, $5, EXISTS (
                   SELECT
                   FROM   pg_locks AS l
                   JOIN   pg_stat_activity AS a USING (pid)
                   WHERE  l.locktype = 'advisory'
                   AND    l.objsubid = 1
                   AND    l.granted
                   AND    (l.classid::bigint << 32) | l.objid::bigint = $6
                   AND    a.application_name = $2)
        """;

    private const string Read =
        """
        SELECT   stamp, extract(epoch FROM at)::float8, act, process, run, attempt, coalesce((SELECT max(place) FROM chaos.places p WHERE p.id = e.id), 0), had_lock
        FROM     chaos.events e
        ORDER BY stamp
        """;

    private const string ReadWrites =
        $"SELECT stamp, job, after->>'{QuartzCounter.Writer}', (before->>'{QuartzCounter.Count}')::int, (after->>'{QuartzCounter.Count}')::int FROM chaos.writes ORDER BY stamp";

    private const string ReadRests =
        """
        SELECT 'Quartz', job_name, trigger_state, ''
        FROM   chaos_quartz.qrtz_triggers
        UNION  ALL
        SELECT 'Hangfire', j.id::text, j.statename, concat_ws(', ', s.reason, (SELECT 'retry ' || p.value FROM chaos_hangfire.jobparameter AS p WHERE p.jobid = j.id AND p.name = 'RetryCount'))
        FROM   chaos_hangfire.job AS j
        LEFT   JOIN chaos_hangfire.state AS s ON s.id = j.stateid
        WHERE  j.statename NOT IN ('Succeeded', 'Deleted')
        """;

    public async Task PrepareAsync(CancellationToken stop) => await database.CreateCommand(Create).ExecuteNonQueryAsync(stop);

    /// <summary>From here on places and writes are noted: the tables of the product and of Quartz must be there.</summary>
    public async Task WatchAsync(CancellationToken stop) => await database.CreateCommand(Watch).ExecuteNonQueryAsync(stop);

    /// <summary>An event happens now.</summary>
    public void Add(Act act, string process, int run = 0, string attempt = "", string id = "")
    {
        using var command = database.CreateCommand("INSERT INTO chaos.events (act, process, run, attempt, id) VALUES ($1, $2, $3, $4, $5)");
        foreach (var value in new object[] { (int)act, process, run, attempt, id }) command.Parameters.Add(new() { Value = value });
        command.ExecuteNonQuery();
    }

    /// <summary>A run enters now, and PostgreSQL says whether its process has the lock.</summary>
    public void Enter(string process, int run, string attempt, string id, long key)
    {
        using var command = database.CreateCommand(EnterWithLock);
        foreach (var value in new object[] { (int)Act.Enter, process, run, attempt, id, key }) command.Parameters.Add(new() { Value = value });
        command.ExecuteNonQuery();
    }

    public async Task<IReadOnlyList<Event>> ReadAsync(CancellationToken stop)
    {
        await using var command = database.CreateCommand(Read);
        await using var reader = await command.ExecuteReaderAsync(stop);
        var events = new List<Event>();
        while (await reader.ReadAsync(stop))
            events.Add(new(reader.GetInt64(0), reader.GetDouble(1), (Act)reader.GetInt32(2), reader.GetString(3), reader.GetInt32(4), reader.GetString(5), reader.GetInt64(6)) { HadLock = reader.GetBoolean(7) });
        return events;
    }

    /// <summary>How many attempts at a run have begun.</summary>
    public Task<long> AttemptsAsync(int run, CancellationToken stop) =>
        AskAsync<long>(FormattableString.Invariant($"SELECT count(*) FROM chaos.events WHERE act = {(int)Act.Enter} AND run = {run}"), stop);

    public async Task<IReadOnlyList<Write>> ReadWritesAsync(CancellationToken stop)
    {
        await using var command = database.CreateCommand(ReadWrites);
        await using var reader = await command.ExecuteReaderAsync(stop);
        var writes = new List<Write>();
        while (await reader.ReadAsync(stop)) writes.Add(new(reader.GetInt64(0), reader.GetString(1), reader.GetString(2), reader.GetInt32(3), reader.GetInt32(4)));
        return writes;
    }

    /// <param name="runOf">The run of a job, given the scheduler and its name for the job.</param>
    /// <param name="stop">Ends the wait.</param>
    public async Task<IReadOnlyList<Rest>> ReadRestsAsync(Func<string, string, int> runOf, CancellationToken stop)
    {
        await using var command = database.CreateCommand(ReadRests);
        await using var reader = await command.ExecuteReaderAsync(stop);
        var rests = new List<Rest>();
        while (await reader.ReadAsync(stop)) rests.Add(new(runOf(reader.GetString(0), reader.GetString(1)), reader.GetString(2)) { Reason = reader.GetString(3) });
        return rests;
    }

    /// <summary>The last stamp.</summary>
    public Task<long> StampAsync(CancellationToken stop) => AskAsync<long>("SELECT last_value FROM chaos.stamp", stop);

    /// <summary>The key and the backend of each lock of a run.</summary>
    public async Task<HashSet<(long Key, int Backend)>> LocksAsync(CancellationToken stop)
    {
        await using var command = database.CreateCommand(Locks);
        await using var reader = await command.ExecuteReaderAsync(stop);
        var locks = new HashSet<(long, int)>();
        while (await reader.ReadAsync(stop)) locks.Add((reader.GetInt64(0), reader.GetInt32(1)));
        return locks;
    }

    public async Task RunAsync(string sql, CancellationToken stop, bool inOneSnapshot = false)
    {
        await using var connection = await database.OpenConnectionAsync(stop);
        await using var transaction = await connection.BeginTransactionAsync(inOneSnapshot ? IsolationLevel.RepeatableRead : IsolationLevel.ReadCommitted, stop);
        await using var command = new NpgsqlCommand(sql, connection, transaction);
        await command.ExecuteNonQueryAsync(stop);
        await transaction.CommitAsync(stop);
    }

    /// <summary>The runs that are in the wait queue, by scheduler and job.</summary>
    public async Task<IReadOnlyList<(string Scheduler, string Job)>> ReadPlacesAsync(CancellationToken stop)
    {
        await using var command = database.CreateCommand("SELECT CASE WHEN store LIKE '%Hangfire%' THEN 'Hangfire' ELSE 'Quartz' END, coalesce(job, run) FROM joblocks.wait_queue");
        await using var reader = await command.ExecuteReaderAsync(stop);
        var places = new List<(string, string)>();
        while (await reader.ReadAsync(stop)) places.Add((reader.GetString(0), reader.GetString(1)));
        return places;
    }

    public async Task<T> AskAsync<T>(string sql, CancellationToken stop)
    {
        await using var command = database.CreateCommand(sql);
        return (T)(await command.ExecuteScalarAsync(stop))!;
    }
}
