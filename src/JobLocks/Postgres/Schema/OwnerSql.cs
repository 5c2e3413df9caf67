namespace JobLocks.Postgres.Schema;

/// <summary>
/// Checks who owns the objects of this library. Triggers and functions run with the rights of the role that uses a table, so objects of a foreign
/// role are not used. Trusted are the role of the session, the roles it is a member of, the owner of the database, superusers, and the role that the
/// setting joblocks.schema_owner names.
/// </summary>
internal static class OwnerSql
{
    /// <summary>Sets joblocks.schema_owner to the role of <see cref="JobLocksOptions.SchemaOwner"/>: $1.</summary>
    public const string SetOwner = "SELECT set_config('joblocks.schema_owner', $1, false)";

    /// <summary>
    /// The first object of the schema that belongs to a foreign role, as a sentence with the remedy; null if there is none. The query reads the
    /// memberships itself: the server's own functions report a superuser as a member of every role. A membership that a role has granted itself, as
    /// was possible before version 15, does not count.
    /// </summary>
    public const string Foreign =
        $"""
        WITH RECURSIVE
        {Trusted},
             ours AS (SELECT oid, nspname, nspowner FROM pg_namespace WHERE oid = to_regnamespace('"joblocks"')),
             tables AS (
                 SELECT c.oid, format('%s %I.%I', CASE c.relkind WHEN 'S' THEN 'sequence' WHEN 'v' THEN 'view' ELSE 'table' END, o.nspname, c.relname) AS what, c.relowner
                 FROM   ours AS o
                 JOIN   pg_class AS c ON c.relnamespace = o.oid
                 WHERE  c.relname IN ({SchemaObjects.List})),
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
        LIMIT    1
        """;

    /// <summary>
    /// The quoted name of the schema of pgcrypto. No row if a foreign role owns that schema or the function digest, and could replace it.
    /// </summary>
    public const string Pgcrypto =
        $"""
        WITH RECURSIVE
        {Trusted}
        SELECT quote_ident(n.nspname)
        FROM   pg_extension AS e
        JOIN   pg_namespace AS n ON n.oid = e.extnamespace
        JOIN   pg_proc AS p ON p.pronamespace = n.oid AND p.proargtypes = '17 25'::oidvector -- bytea, text
        JOIN   pg_depend AS d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass AND d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'
        WHERE  e.extname = 'pgcrypto'
        AND    p.proname = 'digest'
        AND    n.nspowner IN (SELECT oid FROM trusted)
        AND    p.proowner IN (SELECT oid FROM trusted)
        """;

    private const string Trusted =
        """
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
        """;
}
