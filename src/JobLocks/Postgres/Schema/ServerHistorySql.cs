namespace JobLocks.Postgres.Schema;

/// <summary>Statements about the servers on which the schema has been.</summary>
internal static class ServerHistorySql
{
    /// <summary>
    /// The system identifier and the timeline of the server. The name of the current file of the write-ahead log begins with the timeline. The control file
    /// shows a new timeline only after the next checkpoint: https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADMIN-BACKUP.
    /// </summary>
    public const string ReadTimeline =
        """
        SELECT system_identifier, ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int
        FROM   pg_control_system()
        """;

    /// <summary>Whether the schema has been on the server $1 and its timeline $2 before. Needs only SELECT on the table.</summary>
    public const string IsNoted = """SELECT EXISTS (SELECT FROM "joblocks".servers WHERE system = $1 AND timeline = $2)""";

    /// <summary>
    /// Notes the server $1 and its timeline $2. If numbers were drawn before, on another server, both sequences are advanced by 2^36. A standby that lacks more
    /// numbers than that is days behind. Of several sessions that do this at once, one advances. Returns a row if this session has advanced them.
    /// </summary>
    public const string NoteAndAdvance =
        """
        WITH noted AS (INSERT INTO "joblocks".servers (system, timeline) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING system)
        SELECT setval('"joblocks".fence', nextval('"joblocks".fence') + (1::bigint << 36)),
               setval('"joblocks".entry_numbers', nextval('"joblocks".entry_numbers') + (1::bigint << 36))
        FROM   noted
        WHERE  pg_sequence_last_value('"joblocks".fence') IS NOT NULL
        OR     pg_sequence_last_value('"joblocks".entry_numbers') IS NOT NULL
        """;
}
