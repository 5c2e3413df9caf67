using System.Globalization;
using Hangfire;
using Hangfire.Storage;
using JobLocks.WaitQueue;
using Npgsql;

namespace JobLocks.Hangfire;

/// <summary>
/// Reads the states of many jobs of a Hangfire.PostgreSql storage in one statement. Hangfire's own interface reads one job at a time, and its lists of
/// scheduled jobs do not contain the reason of the state.
/// </summary>
/// <remarks>
/// Reads the tables job, state and set, which Hangfire.PostgreSql has had since its first version. If these tables or their columns are missing or may not be
/// read, the jobs are read one by one.
/// </remarks>
internal static class JobStatesInPostgres
{
    // {0} is the schema of the storage. The search path of the connection is the application's: every name is schema-qualified, so that no function,
    // operator or type of another role can run instead. The schedule is read once; a subquery for each job could read the whole schedule each time.
    private const string Find =
        """
        WITH     scheduled AS MATERIALIZED (
                     SELECT e.value::pg_catalog.text
                     FROM   "{0}"."set" AS e
                     WHERE  e.key OPERATOR(pg_catalog.=) $3
                     AND    e.value OPERATOR(pg_catalog.=) ANY ($4))
        SELECT   s.name::pg_catalog.text, s.reason::pg_catalog.text,
                 r.id::pg_catalog.text OPERATOR(pg_catalog.=) ANY (SELECT value FROM scheduled) OR r.entry OPERATOR(pg_catalog.=) ANY (SELECT value FROM scheduled),
                 j.createdat
        FROM     ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) WITH ORDINALITY AS r (id, entry, nth)
        LEFT     JOIN "{0}"."job" AS j ON j.id OPERATOR(pg_catalog.=) r.id
        LEFT     JOIN "{0}"."state" AS s ON s.id OPERATOR(pg_catalog.=) j.stateid
        ORDER BY r.nth
        """;

    /// <summary>Reads the name and the reason of the state of each job, and whether the job is in the schedule.</summary>
    /// <param name="storage">The storage.</param>
    /// <param name="runs">The jobs.</param>
    /// <returns>
    /// One element for each job, in the given order. Its state is null if the job is missing or another job has its id. Null if the jobs must be read one by
    /// one.
    /// </returns>
    /// <exception cref="Exception">The server cannot be asked.</exception>
    public static IReadOnlyList<(StateData? State, bool IsInSchedule)>? Read(JobStorage storage, IReadOnlyList<WaitingRun> runs)
    {
        try
        {
            return StorageInPostgres.Query(storage, (connection, schema) => Read(connection, schema, runs));
        }
        catch (PostgresException unreadable) when (unreadable.SqlState is PostgresErrorCodes.UndefinedTable or PostgresErrorCodes.UndefinedColumn or PostgresErrorCodes.InsufficientPrivilege)
        {
            return null;
        }
    }

    private static string FindIn(string schema) => Find.Replace("{0}", schema.Replace("\"", "\"\"", StringComparison.Ordinal), StringComparison.Ordinal);

    private static List<(StateData? State, bool IsInSchedule)> Read(NpgsqlConnection connection, string schema, IReadOnlyList<WaitingRun> runs)
    {
        List<JobIdentity> jobs = [.. runs.Select(static run => JobIdentity.Parse(run.Address.Run))];
        // The schedule stores a job with its own queue as "queue:id".
        string[] entries = [.. runs.Zip(jobs, static (run, job) => $"{run.Address.Queue}:{job.Id}")];
        using var command = new NpgsqlCommand(FindIn(schema), connection)
        {
            Parameters =
            {
                new NpgsqlParameter<long[]> { TypedValue = [.. jobs.Select(static job => long.Parse(job.Id, CultureInfo.InvariantCulture))] },
                new NpgsqlParameter<string[]> { TypedValue = entries },
                new NpgsqlParameter<string> { TypedValue = HangfireRuns.ScheduledSet },
                new NpgsqlParameter<string[]> { TypedValue = [.. entries, .. jobs.Select(static job => job.Id)] },
            },
        };
        using var row = command.ExecuteReader();
        var states = new List<(StateData?, bool)>(runs.Count);
        while (row.Read())
        {
            var isGone = row.IsDBNull(0) || !jobs[states.Count].Matches(row.GetDateTime(3));
            states.Add((isGone ? null : new() { Name = row.GetString(0), Reason = row.GetValue(1) as string }, row.GetBoolean(2)));
        }

        return states;
    }
}
