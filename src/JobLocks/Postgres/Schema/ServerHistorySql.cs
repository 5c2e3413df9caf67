namespace JobLocks.Postgres.Schema;

/// <summary>Statements about the servers on which the schema has been.</summary>
internal static class ServerHistorySql
{
    /// <summary>Whether the schema has been on this server and timeline before. Needs SELECT on the table alone.</summary>
    public const string IsNoted =
        $"""
        SELECT EXISTS (SELECT FROM "joblocks".servers AS s JOIN {Here} ON s.system = h.system AND s.timeline = h.timeline)
        """;

    /// <summary>
    /// Notes this server and timeline, and advances both sequences by 2^36: more numbers than all processes draw in hours, as a standby would have to lack. Of
    /// several sessions that do this at once, one advances. Returns true if the schema was on another server before.
    /// </summary>
    public const string Advance =
        $"""
        WITH noted AS (INSERT INTO "joblocks".servers (system, timeline) SELECT h.system, h.timeline FROM {Here} ON CONFLICT DO NOTHING RETURNING system),
             advanced AS MATERIALIZED (
                 SELECT setval('"joblocks".fence', nextval('"joblocks".fence') + (1::bigint << 36)),
                        setval('"joblocks".entry_numbers', nextval('"joblocks".entry_numbers') + (1::bigint << 36))
                 FROM   noted)
        SELECT EXISTS (SELECT FROM "joblocks".servers) FROM advanced
        """;

    /// <summary>
    /// The system identifier and the timeline. The name of the current file of the write-ahead log begins with the timeline. The control file shows a new
    /// timeline only after the next checkpoint: https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADMIN-BACKUP.
    /// </summary>
    private const string Here =
        """
        (SELECT c.system_identifier AS system, ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int AS timeline
                                FROM   pg_control_system() AS c) AS h
        """;
}
