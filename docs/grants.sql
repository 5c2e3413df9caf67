-- The least that the database roles of JobLocks need, as three roles to be granted to those of your applications:
--     GRANT joblocks_worker TO billing;
-- Run by the owner of the schema, if it may create roles, or by a superuser, after schema.sql (or after the first start of an application that may create
-- the schema). May be run again.
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

-- Looks: pages, JSON, IJobLockInspector. Of the sessions of other roles, it sees neither the address nor the start: the pages say "not known".
GRANT USAGE ON SCHEMA "joblocks" TO joblocks_viewer;
GRANT SELECT ON "joblocks".line, "joblocks".sessions, "joblocks".held, "joblocks".names, "joblocks".minutes TO joblocks_viewer;

-- Optional: shows addresses and starts of those sessions. It also lets the role read the text of the statements of every role in every database of this server, with
-- all values that stand in them. Only a superuser may grant it, or a role that has it with the right to pass it on.
-- GRANT pg_read_all_stats TO joblocks_viewer;

-- Looks, and asks holders to let go. It may write any name into "asked": "asked_role" beside it is filled in by a trigger, and says which role did.
GRANT joblocks_viewer TO joblocks_operator;
GRANT UPDATE (asked) ON "joblocks".held TO joblocks_operator;

-- Optional: lets the operator end the sessions of every role that is no superuser, in every database of this server (IJobLockInspector.EndSessionAsync).
-- GRANT pg_signal_backend TO joblocks_operator;
