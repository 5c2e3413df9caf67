using Npgsql;

namespace JobLocks.Postgres.Schema;

/// <summary>The objects of ours in the database.</summary>
internal static class SchemaSql
{
    public const int Version = 10;

    /// <summary>Where the script waits for whoever else runs it.</summary>
    public const string ScriptLock = "SELECT pg_advisory_xact_lock(1246524259, 0)";

    /// <summary>The same under the number $1, see <see cref="SetUpLock"/>.</summary>
    public const string AcquireSetUpLock = "SELECT pg_advisory_xact_lock(1246524259, $1)";

    /// <summary>
    /// Who holds the lock of the set-up, and whether it sets up nothing: it neither waits for a table of the schema $1 nor has one to itself. What else it
    /// waits for is no sign: every role can wait for an advisory lock.
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
    /// The version of the schema $1, 0 where it is not there or lacks a table; its sequence; whether this role may draw from it; whether it may use the line;
    /// whether it may write down who holds what; and whether it may compare the limits that processes declare.
    /// </summary>
    public const string Look =
        """
        WITH s AS (SELECT oid FROM pg_namespace WHERE nspname = $1),
             f AS (SELECT c.oid FROM pg_class c JOIN s ON c.relnamespace = s.oid WHERE c.relname = 'fence' AND c.relkind = 'S'),
             l AS (SELECT c.oid FROM pg_class c JOIN s ON c.relnamespace = s.oid WHERE c.relname = 'line' AND c.relkind = 'r'),
             p AS (SELECT c.oid FROM pg_class c JOIN s ON c.relnamespace = s.oid WHERE c.relname = 'place' AND c.relkind = 'S'),
             d AS (SELECT c.oid FROM pg_class c JOIN s ON c.relnamespace = s.oid WHERE c.relname = 'limits' AND c.relkind = 'r')
        SELECT CASE WHEN (SELECT count(*) FROM pg_class c JOIN s ON c.relnamespace = s.oid
                          WHERE  c.relname IN ('fence', 'place', 'limits', 'line', 'sessions', 'held', 'names', 'minutes') AND c.relkind IN ('r', 'S')) < 8 THEN 0
                    ELSE coalesce(substring(obj_description((SELECT oid FROM s), 'pg_namespace') FROM 'version ([0-9]+)')::int, 0) END,
               coalesce((SELECT oid FROM f), 0)::bigint,
               coalesce(has_schema_privilege((SELECT oid FROM s), 'USAGE') AND has_sequence_privilege((SELECT oid FROM f), 'USAGE'), false),
               coalesce(has_schema_privilege((SELECT oid FROM s), 'USAGE') AND has_sequence_privilege((SELECT oid FROM p), 'USAGE')
                        AND has_table_privilege((SELECT oid FROM l), 'SELECT') AND has_table_privilege((SELECT oid FROM l), 'INSERT')
                        AND has_table_privilege((SELECT oid FROM l), 'UPDATE') AND has_table_privilege((SELECT oid FROM l), 'DELETE'), false),
               coalesce(has_schema_privilege((SELECT oid FROM s), 'USAGE')
                        AND (SELECT count(DISTINCT c.oid) = 4 AND bool_and(has_table_privilege(c.oid, p.privilege))
                             FROM   pg_class c CROSS JOIN (VALUES ('SELECT'), ('INSERT'), ('UPDATE'), ('DELETE')) AS p (privilege)
                             WHERE  c.relnamespace = (SELECT oid FROM s) AND c.relname IN ('sessions', 'held', 'names', 'minutes') AND c.relkind = 'r'), false),
               coalesce(has_schema_privilege((SELECT oid FROM s), 'USAGE') AND has_table_privilege((SELECT oid FROM d), 'SELECT')
                        AND has_table_privilege((SELECT oid FROM d), 'INSERT') AND has_table_privilege((SELECT oid FROM d), 'UPDATE'), false)
        """;

    /// <summary><see cref="Look"/> for a question of the session: the parameter and the answer are JSON.</summary>
    public static readonly string LookAsJson = $$"""
        SELECT to_jsonb(l) FROM (
        {{Look.Replace("$1", "($1 #>> '{}')", StringComparison.Ordinal)}}) AS l ("Version", "Fence", "MayDraw", "HasWaitQueue", "HasReadModel", "HasLimits")
        """;

    /// <summary>Run as it stands in docs/schema.sql, where the name of the schema may be changed.</summary>
    public const string Script =
        $"""
        -- The objects of JobLocks in a database. May be run again and by several at once. The locks themselves need none of them.
        -- For another schema than "joblocks", change its name here and in the option Schema.
        -- A role that is not the owner needs:
        --     GRANT USAGE ON SCHEMA "joblocks" TO its_name;
        --     GRANT USAGE ON SEQUENCE "joblocks".fence, "joblocks".place TO its_name;
        --     GRANT SELECT, INSERT, UPDATE ON "joblocks".limits TO its_name;
        --     GRANT SELECT, INSERT, UPDATE, DELETE ON "joblocks".line TO its_name;
        --     GRANT SELECT, INSERT, UPDATE, DELETE ON "joblocks".sessions, "joblocks".held, "joblocks".names, "joblocks".minutes TO its_name;
        -- One that only looks needs, and nothing else:
        --     GRANT USAGE ON SCHEMA "joblocks" TO who_looks;
        --     GRANT SELECT ON "joblocks".line, "joblocks".sessions, "joblocks".held, "joblocks".names, "joblocks".minutes TO who_looks;
        BEGIN;

        -- The server's own objects only, before anything else: others may have put functions and operators of the same names into other schemas.
        SET LOCAL search_path TO pg_catalog, pg_temp;

        -- Where the schema is kept by a role that is neither yours, nor the owner of the database, nor a superuser, name it here and in the option SchemaOwner:
        -- SET LOCAL joblocks.schema_owner TO 'its_owner'

        SET LOCAL lock_timeout = '60s';

        -- One at a time: "JLsc" in ASCII. Every role may take this lock. If it is waited for in vain, see who holds it, and end that session or write another number for 0:
        --     SELECT a.pid, a.usename, a.application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.classid = 1246524259 AND l.granted;
        SELECT pg_advisory_xact_lock(1246524259, 0);

        CREATE SCHEMA IF NOT EXISTS "joblocks";

        -- It may have been there before, with tables, triggers and functions of a role that wants them to be run by another.
        DO $do$
        DECLARE
            found text;
        BEGIN
            found := (
        {OwnerSql.Foreign});
            IF found IS NOT NULL THEN
                RAISE invalid_schema_definition USING MESSAGE = 'JobLocks: ' || found;
            END IF;
        END
        $do$;

        -- In public: others may use it too.
        DO $do$
        BEGIN
            CREATE EXTENSION IF NOT EXISTS pgcrypto SCHEMA public;
        EXCEPTION WHEN OTHERS THEN
            RAISE NOTICE 'JobLocks: the function key(text) is left out, since pgcrypto cannot be had in public: %. CREATE EXTENSION pgcrypto elsewhere, and run this again.', SQLERRM;
        END
        $do$;

        -- A number for each grant: it grows with each grant of a key, so a table can refuse those who are late. And one for each arrival in the wait queue:
        -- a sequence, never a clock, says who came first. They start with the microseconds since 1970, since both may be made anew after an accident, and
        -- then no number may come a second time. The clock may have been set back meanwhile: a process of JobLocks says the greatest number that it has drawn, and
        -- a billion is for what others have drawn since. By hand, name the greatest number in your tables here:
        -- SET LOCAL joblocks.last_token TO 'its_number'
        DO $do$
        DECLARE
            start bigint := greatest(
                extract(epoch FROM clock_timestamp()) * 1000000,
                nullif(current_setting('joblocks.last_token', true), '')::bigint + 1000000000);
        BEGIN
            EXECUTE format('CREATE SEQUENCE IF NOT EXISTS %s.fence START WITH %s', '"joblocks"', start);
            EXECUTE format('CREATE SEQUENCE IF NOT EXISTS %s.place START WITH %s', '"joblocks"', start);
        END
        $do$;

        -- How many may have a lock at once, as the processes say it: two numbers for one name are a mistake.
        CREATE TABLE IF NOT EXISTS "joblocks".limits (
            name    text        PRIMARY KEY,
            slots   integer     NOT NULL,
            said_by text        NOT NULL,
            said_at timestamptz NOT NULL DEFAULT now()
        );

        -- The runs that wait for a lock, in the order of their places.
        CREATE TABLE IF NOT EXISTS "joblocks".line (
            place   bigint      PRIMARY KEY DEFAULT nextval('"joblocks".place'),
            key     bigint      NOT NULL,
            name    text        NOT NULL,
            mode    smallint    NOT NULL, -- 0 exclusive, 1 shared
            slots   integer     NOT NULL, -- how many may run at once
            store   text        NOT NULL, -- which store of which scheduler keeps the run
            run     text        NOT NULL, -- its name there
            queue   text        NOT NULL, -- where that store puts it when its turn comes
            since   timestamptz NOT NULL DEFAULT now(),
            until   timestamptz,          -- when it has waited long enough
            parked  boolean     NOT NULL DEFAULT false, -- its store keeps it until it is woken
            woken   timestamptz,          -- when its turn came
            told    boolean     NOT NULL DEFAULT false, -- its store knows that it did
            verdict text,                 -- why it is not to run at all
            UNIQUE (store, run)
        ) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500, autovacuum_analyze_threshold = 500);

        -- At once what is needed at most: whoever comes between a weaker lock and this one waits for us, and we for him.
        LOCK TABLE "joblocks".line IN ACCESS EXCLUSIVE MODE;

        -- With the verdict, so that a long line is counted without a look at its rows.
        CREATE INDEX IF NOT EXISTS line_order ON "joblocks".line (key, place) INCLUDE (verdict);

        -- Its name before version 6.
        DROP INDEX IF EXISTS "joblocks".line_key;

        -- However many wait under one key, those of another are found through the index: no statistics may say that every key has them all.
        ALTER TABLE "joblocks".line ALTER COLUMN key SET (n_distinct = -1);

        -- What a person calls the job, where its name in the store says nothing.
        ALTER TABLE "joblocks".line ADD COLUMN IF NOT EXISTS job text;

        CREATE INDEX IF NOT EXISTS line_job ON "joblocks".line (job) WHERE job IS NOT NULL;

        -- Since when no process serves the store, as a sweep has seen it: in one row of each such store.
        ALTER TABLE "joblocks".line ADD COLUMN IF NOT EXISTS unserved timestamptz;

        CREATE INDEX IF NOT EXISTS line_unserved ON "joblocks".line (store, unserved) WHERE unserved IS NOT NULL;

        CREATE INDEX IF NOT EXISTS line_woken ON "joblocks".line (store, woken) WHERE woken IS NOT NULL;

        -- Not read since version 9.
        DROP INDEX IF EXISTS "joblocks".line_turn;

        CREATE INDEX IF NOT EXISTS line_until ON "joblocks".line (store, until) WHERE until IS NOT NULL;

        -- For those who look. PostgreSQL's own lock table is the truth: what is written here and does not stand there, is over.
        -- Not logged, since no session outlives a crash of the server.
        CREATE UNLOGGED TABLE IF NOT EXISTS "joblocks".sessions (
            backend     integer     PRIMARY KEY, -- the server's process behind it
            connected   timestamptz NOT NULL,    -- since when: another may get the same number later
            application text        NOT NULL
        );

        -- Who has a lock that is held for longer than a moment.
        CREATE UNLOGGED TABLE IF NOT EXISTS "joblocks".held (
            backend   integer     NOT NULL,
            nth       bigint      NOT NULL, -- of those of this session
            connected timestamptz NOT NULL,
            key       bigint      NOT NULL, -- of the lock, or of its slot
            line      bigint      NOT NULL, -- of the name
            name      text        NOT NULL,
            run       text        NOT NULL,
            since     timestamptz NOT NULL,
            asked     text,                 -- who wants it to be let go
            PRIMARY KEY (backend, nth)
        );

        -- Which store of which scheduler keeps the run: another one may have a run of the same name. Null where none does.
        ALTER TABLE "joblocks".held ADD COLUMN IF NOT EXISTS store text;

        -- The database role that wrote "asked", whatever it wrote there. Filled in by the trigger.
        ALTER TABLE "joblocks".held ADD COLUMN IF NOT EXISTS asked_role text;

        CREATE OR REPLACE FUNCTION "joblocks".note_asked() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $fn$
        BEGIN
            NEW.asked_role := session_user;
            RETURN NEW;
        END
        $fn$;

        DROP TRIGGER IF EXISTS held_asked ON "joblocks".held;

        CREATE TRIGGER held_asked BEFORE UPDATE OF asked ON "joblocks".held FOR EACH ROW EXECUTE FUNCTION "joblocks".note_asked();

        CREATE INDEX IF NOT EXISTS held_key ON "joblocks".held (key);

        CREATE INDEX IF NOT EXISTS held_line ON "joblocks".held (line);

        -- What happened under a name since it was first seen. The ten thousand names seen last are kept.
        CREATE TABLE IF NOT EXISTS "joblocks".names (
            key     bigint           PRIMARY KEY,
            name    text             NOT NULL,
            seen    timestamptz      NOT NULL,
            runs    bigint           NOT NULL, -- how often it was held and let go
            held    double precision NOT NULL, -- for how many seconds altogether
            refused bigint           NOT NULL, -- how many runs were refused and did not wait
            waited  bigint           NOT NULL  -- how many stood in its line
        );

        CREATE INDEX IF NOT EXISTS names_seen ON "joblocks".names (seen);

        -- The same for each minute of the last hour.
        CREATE TABLE IF NOT EXISTS "joblocks".minutes (
            key     bigint           NOT NULL,
            minute  timestamptz      NOT NULL,
            runs    bigint           NOT NULL,
            held    double precision NOT NULL,
            refused bigint           NOT NULL,
            waited  bigint           NOT NULL,
            PRIMARY KEY (key, minute)
        );

        CREATE INDEX IF NOT EXISTS minutes_minute ON "joblocks".minutes (minute);

        -- The key of a name, for locks from SQL: SHA-1 of its UTF-8 bytes, the first eight of them, little-endian. Needs pgcrypto, and one that no other role can change.
        DO $do$
        DECLARE
            home text;
        BEGIN
            home := (
        {OwnerSql.Pgcrypto});
            IF home IS NOT NULL THEN
                EXECUTE replace($sql$
                    CREATE OR REPLACE FUNCTION "joblocks".key(name text) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
                    SET search_path = pg_catalog, pg_temp AS $key$
                        SELECT bit_or(get_byte(d.digest, i)::bigint << (8 * i))
                        FROM   (SELECT <home of pgcrypto>.digest(convert_to(name, 'UTF8'), 'sha1') AS digest) AS d, generate_series(0, 7) AS i
                    $key$ $sql$, '<home of pgcrypto>', home);
            END IF;
        END
        $do$;

        COMMENT ON SCHEMA "joblocks" IS 'Concurrency of jobs, made by JobLocks. Schema version 10';

        COMMIT;
        """;

    /// <summary>Says the greatest fencing token that this process has drawn: $1.</summary>
    public const string SetLastToken = "SELECT set_config('joblocks.last_token', $1, false)";

    /// <summary>Says how many may have a lock at once, and who declares it; answers what was said before, if anything.</summary>
    public const string DeclareLimit =
        """
        WITH said AS (SELECT slots, said_by FROM "joblocks".limits WHERE name = $1 ->> 'name')
        INSERT INTO "joblocks".limits (name, slots, said_by)
        VALUES      ($1 ->> 'name', ($1 ->> 'slots')::int, $1 ->> 'by')
        ON CONFLICT (name) DO UPDATE SET slots = excluded.slots, said_by = excluded.said_by, said_at = now()
        RETURNING   (SELECT jsonb_build_object('Slots', slots, 'By', said_by) FROM said)
        """;

    /// <summary>
    /// The statements of the script: each ends with a semicolon and an empty line. Several in one command would be sent by the driver on the
    /// thread pool, which the users' jobs may have taken; and a socket that was used so once is slower for ever.
    /// </summary>
    public static IEnumerable<string> StatementsFor(string schema) =>
        For(schema, Script).Split(";\n\n", StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);

    /// <summary>The same text for a schema of another name, which may stand in a literal as well.</summary>
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
