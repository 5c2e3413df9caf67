namespace JobLocks.Postgres.Schema;

/// <summary>The part of <see cref="SchemaScript"/> that renames the objects of schema version 10 and earlier.</summary>
internal static class SchemaRenames
{
    public const string Text =
        """
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
        """;
}
