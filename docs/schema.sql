-- Creates the objects of JobLocks in a database. It can be run again, and by several sessions at once. The locks themselves need none of these objects.
-- To use another schema than "joblocks", change the name in this script and in the option Schema.
-- A role that is not the owner needs:
--     GRANT USAGE ON SCHEMA "joblocks" TO its_name;
--     GRANT USAGE, UPDATE ON SEQUENCE "joblocks".fence, "joblocks".entry_numbers TO its_name;
--     GRANT SELECT, INSERT ON "joblocks".servers TO its_name;
--     GRANT SELECT, INSERT, UPDATE ON "joblocks".declared_limits TO its_name;
--     GRANT SELECT, INSERT, UPDATE, DELETE ON "joblocks".wait_queue TO its_name;
--     GRANT SELECT, INSERT, UPDATE, DELETE ON "joblocks".sessions, "joblocks".holders, "joblocks".names, "joblocks".minutes, "joblocks".recent_runs, "joblocks".samples TO its_name;
-- A role that only reads needs these rights and no others:
--     GRANT USAGE ON SCHEMA "joblocks" TO reader_role;
--     GRANT SELECT ON "joblocks".wait_queue, "joblocks".sessions, "joblocks".holders, "joblocks".names, "joblocks".minutes, "joblocks".recent_runs, "joblocks".samples TO reader_role;
BEGIN;

-- Only the server's own objects, before any other statement: other roles can have created functions and operators of the same names in other schemas.
SET LOCAL search_path TO pg_catalog, pg_temp;

-- If the owner of the schema is neither your role, nor the owner of the database, nor a superuser, name the owner here and in the option SchemaOwner:
-- SET LOCAL joblocks.schema_owner TO 'its_owner'

SET LOCAL lock_timeout = '60s';

-- One set-up at a time. The number is "JLsc" in ASCII. Every role can hold this lock. If the script waits here, find the holder with the query below.
-- Then end its session, or replace 0 by another number:
--     SELECT a.pid, a.usename, a.application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.classid = 1246524259 AND l.granted;
SELECT pg_advisory_xact_lock(1246524259, 0);

CREATE SCHEMA IF NOT EXISTS "joblocks";

-- Renames the objects that had other names before schema version 11. A process of an older version that still runs creates its own objects anew: its
-- runs then wait in another queue, and the locks themselves stay the same.
DO $do$
BEGIN
    IF to_regclass('"joblocks".line') IS NOT NULL AND to_regclass('"joblocks".wait_queue') IS NULL THEN
        -- Locks the table before the sequence, because a session that inserts an entry also locks the table first.
        LOCK TABLE "joblocks".line IN ACCESS EXCLUSIVE MODE;
        ALTER SEQUENCE IF EXISTS "joblocks".place RENAME TO entry_numbers;
        ALTER TABLE "joblocks".line RENAME TO wait_queue;
        ALTER TABLE "joblocks".wait_queue RENAME place TO entry;
        ALTER TABLE "joblocks".wait_queue RENAME told TO claimed;
        ALTER INDEX IF EXISTS "joblocks".line_pkey RENAME TO wait_queue_pkey;
        ALTER INDEX IF EXISTS "joblocks".line_store_run_key RENAME TO wait_queue_store_run_key;
        ALTER INDEX IF EXISTS "joblocks".line_order RENAME TO wait_queue_order;
        ALTER INDEX IF EXISTS "joblocks".line_job RENAME TO wait_queue_job;
        ALTER INDEX IF EXISTS "joblocks".line_unserved RENAME TO wait_queue_unserved;
        ALTER INDEX IF EXISTS "joblocks".line_woken RENAME TO wait_queue_woken;
        ALTER INDEX IF EXISTS "joblocks".line_until RENAME TO wait_queue_until;
        -- Not used since versions 6 and 9.
        DROP INDEX IF EXISTS "joblocks".line_key, "joblocks".line_turn;
    END IF;
    IF to_regclass('"joblocks".held') IS NOT NULL AND to_regclass('"joblocks".holders') IS NULL THEN
        DROP TRIGGER IF EXISTS held_asked ON "joblocks".held;
        DROP FUNCTION IF EXISTS "joblocks".note_asked();
        ALTER TABLE "joblocks".held RENAME TO holders;
        ALTER TABLE "joblocks".holders RENAME nth TO number;
        ALTER TABLE "joblocks".holders RENAME line TO name_key;
        ALTER TABLE "joblocks".holders RENAME asked TO release_requested_by;
        IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = '"joblocks".holders'::regclass AND attname = 'asked_role') THEN
            ALTER TABLE "joblocks".holders RENAME asked_role TO release_requested_role;
        END IF;
        ALTER INDEX IF EXISTS "joblocks".held_pkey RENAME TO holders_pkey;
        ALTER INDEX IF EXISTS "joblocks".held_key RENAME TO holders_key;
        ALTER INDEX IF EXISTS "joblocks".held_line RENAME TO holders_name_key;
    END IF;
    IF to_regclass('"joblocks".limits') IS NOT NULL AND to_regclass('"joblocks".declared_limits') IS NULL THEN
        ALTER TABLE "joblocks".limits RENAME TO declared_limits;
        ALTER TABLE "joblocks".declared_limits RENAME said_by TO declared_by;
        ALTER TABLE "joblocks".declared_limits RENAME said_at TO declared_at;
        ALTER INDEX IF EXISTS "joblocks".limits_pkey RENAME TO declared_limits_pkey;
    END IF;
END
$do$;

-- The schema may have existed before, with triggers and functions of another role. They would run with the rights of the role that uses the tables.
DO $do$
DECLARE
    found text;
BEGIN
    found := (
WITH RECURSIVE
     mine (oid) AS (
         SELECT oid FROM pg_roles WHERE rolname = current_user
         UNION
         SELECT m.roleid FROM pg_auth_members AS m JOIN mine ON mine.oid = m.member WHERE m.grantor <> m.roleid),
     trusted AS (
         SELECT oid
         FROM   pg_roles
         WHERE  rolsuper
         OR     rolname IN ('pg_database_owner', current_setting('joblocks.schema_owner', true))
         OR     oid = (SELECT datdba FROM pg_database WHERE datname = current_database())
         OR     oid IN (SELECT oid FROM mine)),
     ours AS (SELECT oid, nspname, nspowner FROM pg_namespace WHERE oid = to_regnamespace('"joblocks"')),
     tables AS (
         SELECT c.oid, format('%s %I.%I', CASE c.relkind WHEN 'S' THEN 'sequence' WHEN 'v' THEN 'view' ELSE 'table' END, o.nspname, c.relname) AS what, c.relowner
         FROM   ours AS o
         JOIN   pg_class AS c ON c.relnamespace = o.oid
         WHERE  c.relname IN ('fence', 'entry_numbers', 'servers', 'wait_queue', 'declared_limits', 'sessions', 'holders', 'names', 'minutes', 'recent_runs', 'samples')),
     owned AS (
         SELECT 1 AS rank, format('schema %I', nspname) AS what, nspowner AS owner, NULL::text AS remedy FROM ours
         UNION ALL
         SELECT 2, what, relowner, NULL FROM tables
         UNION ALL
         SELECT 3, 'function ' || p.oid::regprocedure::text, p.proowner, NULL
         FROM   ours AS o
         JOIN   pg_proc AS p ON p.pronamespace = o.oid AND p.proname IN ('key', 'note_release_request')
         UNION ALL
         SELECT 4, format('trigger %I of the %s, by its function,', g.tgname, t.what), p.proowner, format('DROP TRIGGER %I ON %s', g.tgname, g.tgrelid::regclass)
         FROM   tables AS t
         JOIN   pg_trigger AS g ON g.tgrelid = t.oid AND NOT g.tgisinternal
         JOIN   pg_proc AS p ON p.oid = g.tgfoid
         UNION ALL
         -- A condition may call any function, with the rights of the role that uses the table.
         SELECT 5, format('trigger %I of the %s, by its condition,', g.tgname, t.what), 0, format('DROP TRIGGER %I ON %s', g.tgname, g.tgrelid::regclass)
         FROM   tables AS t
         JOIN   pg_trigger AS g ON g.tgrelid = t.oid AND NOT g.tgisinternal AND g.tgqual IS NOT NULL)
SELECT   CASE WHEN w.owner = 0 THEN format('the %s could call any function with the rights of %s. %s.', w.what, current_user, w.remedy) ELSE
         format('the %s belongs to the role %s, which is neither %s, nor a role that %s is a member of, the owner of the database, or a superuser: its code would run with '
                'the rights of %s. %s; or, where that role is meant to keep it, set SchemaOwner = "%s".',
                w.what, r.rolname, current_user, current_user, current_user, coalesce(w.remedy, 'Drop it, since it may carry code of that role'), r.rolname) END
FROM     owned AS w
LEFT     JOIN pg_roles AS r ON r.oid = w.owner
WHERE    w.owner NOT IN (SELECT oid FROM trusted)
ORDER BY w.rank, w.what
LIMIT    1);
    IF found IS NOT NULL THEN
        RAISE invalid_schema_definition USING MESSAGE = 'JobLocks: ' || found;
    END IF;
END
$do$;

-- In the schema public, because other applications can use the extension too.
DO $do$
BEGIN
    CREATE EXTENSION IF NOT EXISTS pgcrypto SCHEMA public;
EXCEPTION WHEN OTHERS THEN
    RAISE NOTICE 'JobLocks: the function key(text) is left out, since pgcrypto cannot be created in the schema public: %. CREATE EXTENSION pgcrypto elsewhere, and run this again.', SQLERRM;
END
$do$;

-- The servers on which these objects have been: a system identifier and a timeline. Each promotion of a standby begins a new timeline. The first session on
-- a new one advances both sequences, because the standby can lack the last numbers that the previous primary has given out.
CREATE TABLE IF NOT EXISTS "joblocks".servers (
    system   bigint      NOT NULL,
    timeline integer     NOT NULL,
    since    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (system, timeline)
);

-- "fence" is the sequence of the fencing tokens. They grow with each grant of a key, so that a table can refuse a write with an older token. "entry_numbers"
-- is the sequence of the entries of the wait queue: a sequence, never a clock, defines the order of arrival. Both start with the microseconds since 1970,
-- because they can be created again after an accident, and then no number may repeat. The clock can have been set back meanwhile: so a process of JobLocks
-- sets the greatest number that it has drawn, and one billion is added for the numbers that others have drawn since. 2^36 is added for each server, because
-- the sequences can have been advanced there. If you run this script by hand, set the greatest number in your tables here:
-- SET LOCAL joblocks.last_token TO 'its_number'
DO $do$
DECLARE
    start bigint := greatest(
        extract(epoch FROM clock_timestamp()) * 1000000,
        nullif(current_setting('joblocks.last_token', true), '')::bigint + 1000000000) + ((SELECT count(*) FROM "joblocks".servers) << 36);
BEGIN
    EXECUTE format('CREATE SEQUENCE IF NOT EXISTS %s.fence START WITH %s', '"joblocks"', start);
    EXECUTE format('CREATE SEQUENCE IF NOT EXISTS %s.entry_numbers START WITH %s', '"joblocks"', start);
END
$do$;

-- The limit of each lock name, as the processes declare it. Different limits for one name are a mistake.
CREATE TABLE IF NOT EXISTS "joblocks".declared_limits (
    name        text        PRIMARY KEY,
    slots       integer     NOT NULL,
    declared_by text        NOT NULL,
    declared_at timestamptz NOT NULL DEFAULT now()
);

-- The wait queue: the runs that wait for a lock, ordered by their entry number (entry).
CREATE TABLE IF NOT EXISTS "joblocks".wait_queue (
    entry   bigint      PRIMARY KEY DEFAULT nextval('"joblocks".entry_numbers'),
    key     bigint      NOT NULL,
    name    text        NOT NULL,
    mode    smallint    NOT NULL, -- 0 exclusive, 1 shared
    slots   integer     NOT NULL, -- the limit: how many runs can hold the lock at once
    store   text        NOT NULL, -- the scheduler's store that keeps the run
    run     text        NOT NULL, -- the name of the run in that store
    queue   text        NOT NULL, -- the scheduler's queue into which the store puts the woken run
    since   timestamptz NOT NULL DEFAULT now(),
    until   timestamptz,          -- when its waiting time ends
    parked  boolean     NOT NULL DEFAULT false, -- the store keeps the run until it is woken
    woken   timestamptz,          -- when the run was woken. Null: not yet. 1970-01-01: its trigger is paused. 1900-01-01: it was woken and was late, and
                                  -- another run of its scheduler queue has reached a worker since
    claimed boolean     NOT NULL DEFAULT false, -- a process delivers the wake to the store, or has delivered it
    verdict text,                 -- why the run must not start at all
    UNIQUE (store, run)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500, autovacuum_analyze_threshold = 500);

-- Acquires the strongest lock first. If the script acquired a weaker lock first, another session could lock the table between the two, and both would
-- wait for each other.
LOCK TABLE "joblocks".wait_queue IN ACCESS EXCLUSIVE MODE;

-- Includes the verdict, so that a long queue can be counted in the index alone.
CREATE INDEX IF NOT EXISTS wait_queue_order ON "joblocks".wait_queue (key, entry) INCLUDE (verdict);

-- The entries of a key are found through the index, however many entries another key has: statistics must not suggest that every key has that many.
ALTER TABLE "joblocks".wait_queue ALTER COLUMN key SET (n_distinct = -1);

-- The job of the run: Hangfire's id, Quartz's key.
ALTER TABLE "joblocks".wait_queue ADD COLUMN IF NOT EXISTS job text;

CREATE INDEX IF NOT EXISTS wait_queue_job ON "joblocks".wait_queue (job) WHERE job IS NOT NULL;

-- Since when a sweep has found no process that serves the store. Set in one row of each such store.
ALTER TABLE "joblocks".wait_queue ADD COLUMN IF NOT EXISTS unserved timestamptz;

CREATE INDEX IF NOT EXISTS wait_queue_unserved ON "joblocks".wait_queue (store, unserved) WHERE unserved IS NOT NULL;

CREATE INDEX IF NOT EXISTS wait_queue_woken ON "joblocks".wait_queue (store, woken) WHERE woken IS NOT NULL;

CREATE INDEX IF NOT EXISTS wait_queue_until ON "joblocks".wait_queue (store, until) WHERE until IS NOT NULL;

-- The read model, for inspection. PostgreSQL's own lock table is authoritative: a row here without its entry there is outdated.
-- Unlogged, since no session outlives a crash of the server.
CREATE UNLOGGED TABLE IF NOT EXISTS "joblocks".sessions (
    backend     integer     PRIMARY KEY, -- the process ID of the server's backend
    connected   timestamptz NOT NULL,    -- since when: a later backend can get the same process ID
    application text        NOT NULL
);

-- The holders of locks that are held for at least 0.25 seconds.
CREATE UNLOGGED TABLE IF NOT EXISTS "joblocks".holders (
    backend              integer     NOT NULL,
    number               bigint      NOT NULL, -- the number of the row within this session
    connected            timestamptz NOT NULL,
    key                  bigint      NOT NULL, -- the key of the lock, or of its slot
    name_key             bigint      NOT NULL, -- the key of the name
    name                 text        NOT NULL,
    run                  text        NOT NULL,
    since                timestamptz NOT NULL,
    release_requested_by text,                 -- who requested that the run releases the lock
    PRIMARY KEY (backend, number)
);

-- The scheduler's store that keeps the run: another store can have a run of the same name. Null if no store keeps it.
ALTER TABLE "joblocks".holders ADD COLUMN IF NOT EXISTS store text;

-- The database role that set release_requested_by, whatever text it wrote there. Set by the trigger.
ALTER TABLE "joblocks".holders ADD COLUMN IF NOT EXISTS release_requested_role text;

-- When the run began to wait for the lock. Null if it did not wait.
ALTER TABLE "joblocks".holders ADD COLUMN IF NOT EXISTS waiting_since timestamptz;

CREATE OR REPLACE FUNCTION "joblocks".note_release_request() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $fn$
BEGIN
    NEW.release_requested_role := session_user;
    RETURN NEW;
END
$fn$;

DROP TRIGGER IF EXISTS release_requested ON "joblocks".holders;

CREATE TRIGGER release_requested BEFORE UPDATE OF release_requested_by ON "joblocks".holders FOR EACH ROW EXECUTE FUNCTION "joblocks".note_release_request();

CREATE INDEX IF NOT EXISTS holders_key ON "joblocks".holders (key);

CREATE INDEX IF NOT EXISTS holders_name_key ON "joblocks".holders (name_key);

-- The statistics of each name since it was first seen. The ten thousand names seen last are kept.
CREATE TABLE IF NOT EXISTS "joblocks".names (
    key     bigint           PRIMARY KEY,
    name    text             NOT NULL,
    seen    timestamptz      NOT NULL,
    runs    bigint           NOT NULL, -- how often the lock was held and released
    held    double precision NOT NULL, -- for how many seconds in total it was held
    refused bigint           NOT NULL, -- how many runs were refused and did not wait
    waited  bigint           NOT NULL  -- how many runs entered the wait queue
);

CREATE INDEX IF NOT EXISTS names_seen ON "joblocks".names (seen);

-- The same statistics for each minute of the last hour.
CREATE TABLE IF NOT EXISTS "joblocks".minutes (
    key     bigint           NOT NULL,
    minute  timestamptz      NOT NULL,
    runs    bigint           NOT NULL,
    held    double precision NOT NULL,
    refused bigint           NOT NULL,
    waited  bigint           NOT NULL,
    PRIMARY KEY (key, minute)
);

-- For how many seconds the lock was free while runs waited: from the wake of each run until it held the lock.
ALTER TABLE "joblocks".minutes ADD COLUMN IF NOT EXISTS free double precision NOT NULL DEFAULT 0;

-- How many of the runs were released by a process that writes recent_runs.
ALTER TABLE "joblocks".minutes ADD COLUMN IF NOT EXISTS recorded bigint NOT NULL DEFAULT 0;

CREATE INDEX IF NOT EXISTS minutes_minute ON "joblocks".minutes (minute);

-- The newest runs of each name that have released its lock, for the timeline: about fifty for each name, for ten minutes.
CREATE UNLOGGED TABLE IF NOT EXISTS "joblocks".recent_runs (
    name_key      bigint      NOT NULL,
    run           text        NOT NULL,
    waiting_since timestamptz,          -- null: the run did not wait
    held_since    timestamptz NOT NULL,
    released      timestamptz NOT NULL,
    written       timestamptz NOT NULL, -- when the process recorded the release
    unrecorded    bigint      NOT NULL DEFAULT 0 -- how many runs that its process released just before this run are not recorded
);

CREATE INDEX IF NOT EXISTS recent_runs_name_key ON "joblocks".recent_runs (name_key, released);

CREATE INDEX IF NOT EXISTS recent_runs_written ON "joblocks".recent_runs (written);

-- The state of all locks, every ten seconds, for one hour.
CREATE UNLOGGED TABLE IF NOT EXISTS "joblocks".samples (
    taken   timestamptz PRIMARY KEY,
    held    bigint      NOT NULL, -- how many locks were held
    waiting bigint      NOT NULL, -- how many runs waited
    free    bigint      NOT NULL  -- for how many names runs waited while no session held the lock
);

-- The key of a lock name, for locks from SQL: the first eight bytes of the SHA-1 of its UTF-8 bytes, little-endian. Needs a pgcrypto that no other role
-- can change.
DO $do$
DECLARE
    home text;
BEGIN
    home := (
WITH RECURSIVE
     mine (oid) AS (
         SELECT oid FROM pg_roles WHERE rolname = current_user
         UNION
         SELECT m.roleid FROM pg_auth_members AS m JOIN mine ON mine.oid = m.member WHERE m.grantor <> m.roleid),
     trusted AS (
         SELECT oid
         FROM   pg_roles
         WHERE  rolsuper
         OR     rolname IN ('pg_database_owner', current_setting('joblocks.schema_owner', true))
         OR     oid = (SELECT datdba FROM pg_database WHERE datname = current_database())
         OR     oid IN (SELECT oid FROM mine))
SELECT quote_ident(n.nspname)
FROM   pg_extension AS e
JOIN   pg_namespace AS n ON n.oid = e.extnamespace
JOIN   pg_proc AS p ON p.pronamespace = n.oid AND p.proargtypes = '17 25'::oidvector -- bytea, text
JOIN   pg_depend AS d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass AND d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'
WHERE  e.extname = 'pgcrypto'
AND    p.proname = 'digest'
AND    n.nspowner IN (SELECT oid FROM trusted)
AND    p.proowner IN (SELECT oid FROM trusted));
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

COMMENT ON SCHEMA "joblocks" IS 'Concurrency of jobs, made by JobLocks. Schema version 13';

COMMIT;
