-- The objects of JobLocks in a database. May be run again and by several at once. The locks themselves need none of them.
-- For another schema than "joblocks", change its name here and in the option Schema.
-- A role that is not the owner needs:
--     GRANT USAGE ON SCHEMA "joblocks" TO its_name;
--     GRANT USAGE ON SEQUENCE "joblocks".fence TO its_name;
--     GRANT SELECT, INSERT, UPDATE ON "joblocks".limits TO its_name;
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

COMMENT ON SCHEMA "joblocks" IS 'Concurrency of jobs, made by JobLocks. Schema version 1';

COMMIT;
