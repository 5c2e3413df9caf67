-- Creates three roles with the least rights that JobLocks needs. Grant them to the roles of your applications:
--     GRANT joblocks_worker TO billing;
-- Run by the owner of the schema, if it may create roles, or by a superuser, after schema.sql (or after the first start of an application that may create
-- the schema). May be run again.
-- For another schema than "joblocks", change its name here. The locks themselves need no right at all: every role may acquire one.
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

    -- The session of a worker creates a temporary function, which catches a full lock table.
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO joblocks_worker', current_database());
END
$do$;

-- Acquires locks, lets runs wait, and records the holders.
GRANT USAGE ON SCHEMA "joblocks" TO joblocks_worker;
GRANT USAGE, UPDATE ON SEQUENCE "joblocks".fence, "joblocks".entry_numbers TO joblocks_worker;
GRANT SELECT, INSERT ON "joblocks".servers TO joblocks_worker;
GRANT SELECT, INSERT, UPDATE ON "joblocks".declared_limits TO joblocks_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON "joblocks".wait_queue, "joblocks".sessions, "joblocks".holders, "joblocks".names, "joblocks".minutes TO joblocks_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON "joblocks".recent_runs, "joblocks".samples TO joblocks_worker;

-- Reads: pages, JSON, IJobLockInspector. It cannot see the addresses and the starts of sessions of other roles: the pages show "not known".
GRANT USAGE ON SCHEMA "joblocks" TO joblocks_viewer;
GRANT SELECT ON "joblocks".wait_queue, "joblocks".sessions, "joblocks".holders, "joblocks".names, "joblocks".minutes TO joblocks_viewer;
GRANT SELECT ON "joblocks".recent_runs, "joblocks".samples TO joblocks_viewer;

-- Optional: shows the addresses and starts of those sessions. With it, the role can also read the statements of every role in every database of this
-- server, with all values in them. It can be granted by a superuser, or by a role that has it with the admin option.
-- GRANT pg_read_all_stats TO joblocks_viewer;

-- Reads as well, and requests that holders release their locks. This role can write any name into release_requested_by. So a trigger writes the role into
-- release_requested_role.
GRANT joblocks_viewer TO joblocks_operator;
GRANT UPDATE (release_requested_by) ON "joblocks".holders TO joblocks_operator;

-- Optional: lets the operator end the sessions of every role that is not a superuser, in every database of this server (IJobLockInspector.EndSessionAsync).
-- GRANT pg_signal_backend TO joblocks_operator;
