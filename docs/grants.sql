-- The least that the database roles of JobLocks need, as three roles to be granted to those of your applications:
--     GRANT joblocks_worker TO billing;
-- Run by a superuser, after schema.sql (or after the first start of an application that may create the schema). May be run again. The owner of the
-- schema can run it too, if it may create roles: then without the line that grants pg_read_all_stats.
-- For another schema than "joblocks", change its name here. The locks themselves need no right at all: every role may take one.
DO $do$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['joblocks_worker', 'joblocks_viewer', 'joblocks_operator'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
        END IF;
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), wanted);
    END LOOP;

    -- Workers keep a function of their session there, which catches a full lock table.
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO joblocks_worker', current_database());
END
$do$;

-- Takes locks, has runs wait, and writes down who holds what.
GRANT USAGE ON SCHEMA "joblocks" TO joblocks_worker;
GRANT USAGE ON SEQUENCE "joblocks".fence, "joblocks".place TO joblocks_worker;
GRANT SELECT, INSERT, UPDATE ON "joblocks".limits TO joblocks_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON "joblocks".line, "joblocks".sessions, "joblocks".held, "joblocks".names, "joblocks".minutes TO joblocks_worker;

-- Looks: pages, JSON, IJobLockInspector. pg_read_all_stats shows address and start of the sessions of other roles; without it they are not known.
GRANT USAGE ON SCHEMA "joblocks" TO joblocks_viewer;
GRANT SELECT ON "joblocks".line, "joblocks".sessions, "joblocks".held, "joblocks".names, "joblocks".minutes TO joblocks_viewer;
GRANT pg_read_all_stats TO joblocks_viewer;

-- Looks, and asks holders to let go. To end sessions it would need pg_signal_backend as well, which is not given here.
GRANT joblocks_viewer TO joblocks_operator;
GRANT UPDATE (asked) ON "joblocks".held TO joblocks_operator;
