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

SET LOCAL lock_timeout = '60s';

-- One at a time: "JLsc" in ASCII.
SELECT pg_advisory_xact_lock(1246524259, 0);

-- In the caller's own path: others may use it too.
DO $do$
BEGIN
    CREATE EXTENSION IF NOT EXISTS pgcrypto;
EXCEPTION WHEN OTHERS THEN
    RAISE NOTICE 'JobLocks: the function key(text) is left out, since pgcrypto cannot be had: %', SQLERRM;
END
$do$;

CREATE SCHEMA IF NOT EXISTS "joblocks";

SET LOCAL search_path TO "joblocks";

-- A number for each grant: it grows with each grant of a key, so a table can refuse those who are late. And one for each arrival in the wait queue:
-- a sequence, never a clock, says who came first. They start with the microseconds since 1970, since both may be made anew after an accident, and
-- then no number may come a second time.
DO $do$
DECLARE
    start bigint := extract(epoch FROM clock_timestamp()) * 1000000;
BEGIN
    EXECUTE format('CREATE SEQUENCE IF NOT EXISTS fence START WITH %s', start);
    EXECUTE format('CREATE SEQUENCE IF NOT EXISTS place START WITH %s', start);
END
$do$;

-- How many may have a lock at once, as the processes say it: two numbers for one name are a mistake.
CREATE TABLE IF NOT EXISTS limits (
    name    text        PRIMARY KEY,
    slots   integer     NOT NULL,
    said_by text        NOT NULL,
    said_at timestamptz NOT NULL DEFAULT now()
);

-- The runs that wait for a lock, in the order of their places.
CREATE TABLE IF NOT EXISTS line (
    place   bigint      PRIMARY KEY DEFAULT nextval('place'),
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
LOCK TABLE line IN ACCESS EXCLUSIVE MODE;

-- With the verdict, so that a long line is counted without a look at its rows.
CREATE INDEX IF NOT EXISTS line_order ON line (key, place) INCLUDE (verdict);

-- Its name before version 6.
DROP INDEX IF EXISTS line_key;

-- However many wait under one key, those of another are found through the index: no statistics may say that every key has them all.
ALTER TABLE line ALTER COLUMN key SET (n_distinct = -1);

-- What a person calls the job, where its name in the store says nothing.
ALTER TABLE line ADD COLUMN IF NOT EXISTS job text;

CREATE INDEX IF NOT EXISTS line_job ON line (job) WHERE job IS NOT NULL;

CREATE INDEX IF NOT EXISTS line_woken ON line (store, woken) WHERE woken IS NOT NULL;

-- Finds woken runs of a name that did not start in time.
CREATE INDEX IF NOT EXISTS line_turn ON line (key, woken) WHERE woken IS NOT NULL;

CREATE INDEX IF NOT EXISTS line_until ON line (store, until) WHERE until IS NOT NULL;

-- For those who look. PostgreSQL's own lock table is the truth: what is written here and does not stand there, is over.
-- Not logged, since no session outlives a crash of the server.
CREATE UNLOGGED TABLE IF NOT EXISTS sessions (
    backend     integer     PRIMARY KEY, -- the server's process behind it
    connected   timestamptz NOT NULL,    -- since when: another may get the same number later
    application text        NOT NULL
);

-- Who has a lock that is held for longer than a moment.
CREATE UNLOGGED TABLE IF NOT EXISTS held (
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
ALTER TABLE held ADD COLUMN IF NOT EXISTS store text;

CREATE INDEX IF NOT EXISTS held_key ON held (key);

CREATE INDEX IF NOT EXISTS held_line ON held (line);

-- What happened under a name since it was first seen. The ten thousand names seen last are kept.
CREATE TABLE IF NOT EXISTS names (
    key     bigint           PRIMARY KEY,
    name    text             NOT NULL,
    seen    timestamptz      NOT NULL,
    runs    bigint           NOT NULL, -- how often it was held and let go
    held    double precision NOT NULL, -- for how many seconds altogether
    refused bigint           NOT NULL, -- how many runs were refused and did not wait
    waited  bigint           NOT NULL  -- how many stood in its line
);

CREATE INDEX IF NOT EXISTS names_seen ON names (seen);

-- The same for each minute of the last hour.
CREATE TABLE IF NOT EXISTS minutes (
    key     bigint           NOT NULL,
    minute  timestamptz      NOT NULL,
    runs    bigint           NOT NULL,
    held    double precision NOT NULL,
    refused bigint           NOT NULL,
    waited  bigint           NOT NULL,
    PRIMARY KEY (key, minute)
);

CREATE INDEX IF NOT EXISTS minutes_minute ON minutes (minute);

-- The key of a name, for locks from SQL: SHA-1 of its UTF-8 bytes, the first eight of them, little-endian. Needs pgcrypto.
DO $do$
DECLARE
    home text;
BEGIN
    SELECT quote_ident(n.nspname) INTO home FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pgcrypto';
    IF home IS NOT NULL THEN
        EXECUTE format($sql$
            CREATE OR REPLACE FUNCTION key(name text) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $key$
                SELECT bit_or(get_byte(d.digest, i)::bigint << (8 * i))
                FROM   (SELECT %s.digest(convert_to(name, 'UTF8'), 'sha1') AS digest) AS d, generate_series(0, 7) AS i
            $key$ $sql$, home);
    END IF;
END
$do$;

COMMENT ON SCHEMA "joblocks" IS 'Concurrency of jobs, made by JobLocks. Schema version 7';

COMMIT;
