-- The objects of JobLocks in a database. May be run again and by several at once. The locks themselves need none of them.
-- For another schema than "joblocks", change its name here and in the option Schema.
-- A role that is not the owner needs:
--     GRANT USAGE ON SCHEMA "joblocks" TO its_name;
--     GRANT USAGE ON SEQUENCE "joblocks".fence, "joblocks".place TO its_name;
--     GRANT SELECT, INSERT, UPDATE ON "joblocks".limits TO its_name;
--     GRANT SELECT, INSERT, UPDATE, DELETE ON "joblocks".line TO its_name;
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

-- A number for each grant. It grows with each grant of a key, so a table can refuse those who are late.
CREATE SEQUENCE IF NOT EXISTS fence;

-- How many may have a lock at once, as the processes say it: two numbers for one name are a mistake.
CREATE TABLE IF NOT EXISTS limits (
    name    text        PRIMARY KEY,
    slots   integer     NOT NULL,
    said_by text        NOT NULL,
    said_at timestamptz NOT NULL DEFAULT now()
);

-- The runs that wait for a lock, in the order of their places. A sequence, never a clock, says who came first.
CREATE SEQUENCE IF NOT EXISTS place;

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

CREATE INDEX IF NOT EXISTS line_key ON line (key, place);

CREATE INDEX IF NOT EXISTS line_woken ON line (store, woken) WHERE woken IS NOT NULL;

CREATE INDEX IF NOT EXISTS line_until ON line (store, until) WHERE until IS NOT NULL;

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

COMMENT ON SCHEMA "joblocks" IS 'Concurrency of jobs, made by JobLocks. Schema version 2';

COMMIT;
