using System.Globalization;
using Npgsql;

namespace JobLocks.Postgres.Schema;

/// <summary>The database objects of this library.</summary>
internal static class SchemaSql
{
    public const int Version = 13;

    /// <summary>The statement at which the script waits for another set-up.</summary>
    public const string ScriptLock = "SELECT pg_advisory_xact_lock(1246524259, 0)";

    /// <summary>As <see cref="ScriptLock"/> with the number $1, see <see cref="SetUpLock"/>.</summary>
    public const string AcquireSetUpLock = "SELECT pg_advisory_xact_lock(1246524259, $1)";

    /// <summary>
    /// The holders of the set-up lock, and whether each is idle: it neither waits for a table of the schema $1 nor locks one exclusively. Other locks
    /// that it waits for say nothing: every role can wait for an advisory lock.
    /// </summary>
    public const string SetUpLockHolders =
        """
        WITH locks AS MATERIALIZED (SELECT pid, locktype, database, relation, classid, objid, objsubid, mode, granted FROM pg_locks)
        SELECT l.objid::int, l.mode = 'ShareLock', coalesce(l.pid, 0), CASE WHEN a.usesysid IS NOT NULL THEN pg_get_userbyid(a.usesysid)::text END, a.application_name,
               host(a.client_addr::inet),
               NOT EXISTS (SELECT
                           FROM   locks AS r
                           JOIN   pg_class AS c ON c.oid = r.relation
                           JOIN   pg_namespace AS n ON n.oid = c.relnamespace
                           WHERE  r.pid = l.pid AND (r.mode = 'AccessExclusiveLock' OR NOT r.granted) AND n.nspname = $1)
        FROM   locks AS l
        LEFT   JOIN LATERAL pg_stat_get_activity(coalesce(l.pid, 0)) AS a ON true
        WHERE  l.locktype = 'advisory'
        AND    l.objsubid = 2
        AND    l.classid = 1246524259
        AND    l.granted
        AND    l.pid IS DISTINCT FROM pg_backend_pid()
        AND    l.database = (SELECT datid FROM pg_stat_get_activity(pg_backend_pid()))
        """;

    /// <summary>
    /// The version of the schema $1, or 0 if it is missing, or lacks a table of this version; its fence sequence; and whether this role may draw from it, use the wait
    /// queue, write to the read model, compare the limits that processes declare, and write to the timeline.
    /// </summary>
    public static readonly string ReadState = string.Create(
        CultureInfo.InvariantCulture,
        $"""
        WITH s AS (SELECT oid FROM pg_namespace WHERE nspname = $1),
             f AS (SELECT c.oid FROM pg_class c JOIN s ON c.relnamespace = s.oid WHERE c.relname = 'fence' AND c.relkind = 'S'),
             l AS (SELECT c.oid FROM pg_class c JOIN s ON c.relnamespace = s.oid WHERE c.relname = 'wait_queue' AND c.relkind = 'r'),
             p AS (SELECT c.oid FROM pg_class c JOIN s ON c.relnamespace = s.oid WHERE c.relname = 'entry_numbers' AND c.relkind = 'S'),
             d AS (SELECT c.oid FROM pg_class c JOIN s ON c.relnamespace = s.oid WHERE c.relname = 'declared_limits' AND c.relkind = 'r'),
             v AS (SELECT coalesce(substring(obj_description((SELECT oid FROM s), 'pg_namespace') FROM 'version ([0-9]+)')::int, 0) AS version)
        SELECT CASE WHEN v.version >= {Version}
                         AND (SELECT count(*) FROM pg_class c JOIN s ON c.relnamespace = s.oid
                              WHERE  c.relname IN ({SchemaObjects.List}) AND c.relkind IN ('r', 'S')) < {SchemaObjects.Count}
                    THEN 0
                    ELSE v.version END,
               coalesce((SELECT oid FROM f), 0)::bigint,
               coalesce(has_schema_privilege((SELECT oid FROM s), 'USAGE') AND has_sequence_privilege((SELECT oid FROM f), 'USAGE'), false),
               coalesce(has_schema_privilege((SELECT oid FROM s), 'USAGE') AND has_sequence_privilege((SELECT oid FROM p), 'USAGE')
                        AND has_table_privilege((SELECT oid FROM l), 'SELECT') AND has_table_privilege((SELECT oid FROM l), 'INSERT')
                        AND has_table_privilege((SELECT oid FROM l), 'UPDATE') AND has_table_privilege((SELECT oid FROM l), 'DELETE'), false),
               coalesce(has_schema_privilege((SELECT oid FROM s), 'USAGE')
                        AND (SELECT count(DISTINCT c.oid) = 4 AND bool_and(has_table_privilege(c.oid, p.privilege))
                             FROM   pg_class c CROSS JOIN (VALUES ('SELECT'), ('INSERT'), ('UPDATE'), ('DELETE')) AS p (privilege)
                             WHERE  c.relnamespace = (SELECT oid FROM s) AND c.relname IN ('sessions', 'holders', 'names', 'minutes') AND c.relkind = 'r'), false),
               coalesce(has_schema_privilege((SELECT oid FROM s), 'USAGE') AND has_table_privilege((SELECT oid FROM d), 'SELECT')
                        AND has_table_privilege((SELECT oid FROM d), 'INSERT') AND has_table_privilege((SELECT oid FROM d), 'UPDATE'), false),
               coalesce(has_schema_privilege((SELECT oid FROM s), 'USAGE')
                        AND (SELECT count(DISTINCT c.oid) = 2 AND bool_and(has_table_privilege(c.oid, p.privilege))
                             FROM   pg_class c CROSS JOIN (VALUES ('SELECT'), ('INSERT'), ('UPDATE'), ('DELETE')) AS p (privilege)
                             WHERE  c.relnamespace = (SELECT oid FROM s) AND c.relname IN ('recent_runs', 'samples') AND c.relkind = 'r'), false)
        FROM   v
        """);

    /// <summary><see cref="ReadState"/> as <see cref="Session.SessionConnection.Query{T}"/> expects it: the parameter and the answer are JSON.</summary>
    public static readonly string ReadStateAsJson = $$"""
        SELECT to_jsonb(l) FROM (
        {{ReadState.Replace("$1", "($1 #>> '{}')", StringComparison.Ordinal)}}) AS l ("Version", "Fence", "MayDraw", "HasWaitQueue", "HasReadModel", "HasLimits", "HasTimeline")
        """;

    /// <summary>Sets the greatest fencing token that this process has drawn: $1.</summary>
    public const string SetLastToken = "SELECT set_config('joblocks.last_token', $1, false)";

    /// <summary>Writes the limit that a process declares for a name. Returns the previous declaration, or null if there is none.</summary>
    public const string DeclareLimit =
        """
        WITH previous AS (SELECT slots, declared_by FROM "joblocks".declared_limits WHERE name = $1 ->> 'name')
        INSERT INTO "joblocks".declared_limits (name, slots, declared_by)
        VALUES      ($1 ->> 'name', ($1 ->> 'slots')::int, $1 ->> 'by')
        ON CONFLICT (name) DO UPDATE SET slots = excluded.slots, declared_by = excluded.declared_by, declared_at = now()
        RETURNING   (SELECT jsonb_build_object('Slots', slots, 'By', declared_by) FROM previous)
        """;

    /// <summary>The same text for a schema of another name. The name can also be inside a literal.</summary>
    public static string For(string schema, string sql)
    {
        var quoted = new NpgsqlCommandBuilder().QuoteIdentifier(schema);
        return sql
            .Replace("'\"joblocks\".", $"'{InLiteral(quoted)}.", StringComparison.Ordinal)
            .Replace("'\"joblocks\"'", $"'{InLiteral(quoted)}'", StringComparison.Ordinal)
            .Replace("\"joblocks\"", quoted, StringComparison.Ordinal);
    }

    private static string InLiteral(string text) => text.Replace("'", "''", StringComparison.Ordinal);
}
