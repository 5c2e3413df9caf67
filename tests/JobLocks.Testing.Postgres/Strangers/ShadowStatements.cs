using Npgsql;

namespace JobLocks.Testing.Postgres;

/// <summary>Makes the statements that create shadows, from what the running server says of its own functions and operators.</summary>
internal static class ShadowStatements
{
    private const int MostVariants = 48;

    private const string Functions =
        """
        SELECT   p.proname::text, p.prokind::text, p.proretset, p.proisstrict,
                 ARRAY(SELECT format_type(t, NULL) FROM unnest(p.proargtypes) WITH ORDINALITY AS a (t, i) ORDER BY i),
                 format_type(p.prorettype, NULL),
                 p.proallargtypes IS NOT NULL,
                 pg_get_function_arguments(p.oid),
                 pg_get_function_result(p.oid),
                 a.aggtransfn::text, format_type(a.aggtranstype, NULL), a.agginitval,
                 CASE WHEN a.aggfinalfn <> 0 THEN a.aggfinalfn::text END
        FROM     pg_proc AS p
        LEFT     JOIN pg_aggregate AS a ON a.aggfnoid = p.oid
        WHERE    p.pronamespace = 'pg_catalog'::regnamespace
        AND      p.prokind IN ('f', 'a')
        AND      p.proname = ANY ($1)
        ORDER BY p.oid
        """;

    private const string OperatorsOf =
        """
        SELECT   oprname::text, format_type(oprleft, NULL), format_type(oprright, NULL), format_type(oprresult, NULL)
        FROM     pg_operator
        WHERE    oprnamespace = 'pg_catalog'::regnamespace
        AND      oprkind = 'b'
        AND      oprname = ANY ($1)
        ORDER BY oid
        """;

    private const string Views =
        """
        SELECT   relname::text
        FROM     pg_class
        WHERE    relnamespace = 'pg_catalog'::regnamespace
        AND      relkind IN ('r', 'v')
        AND      relname = ANY ($1)
        ORDER BY relname
        """;

    // A domain has a check, which is code.
    private const string Types =
        """
        SELECT   typname::text
        FROM     pg_type
        WHERE    typnamespace = 'pg_catalog'::regnamespace
        AND      typtype = 'b'
        AND      typname = ANY ($1)
        ORDER BY typname
        """;

    // Types that calls have, and what a literal or a narrower value matches more closely than the server's own.
    private static readonly string[][] Kin =
    [
        ["smallint", "integer", "bigint"],
        ["text", "name", "character varying"],
        ["double precision", "numeric"],
        ["timestamp with time zone", "timestamp without time zone", "date"],
        ["json", "jsonb"],
        ["oid", "regclass", "regnamespace"],
        ["smallint[]", "integer[]", "bigint[]"],
        ["text[]", "name[]"],
        ["boolean"], ["interval"], ["inet"], ["\"char\""], ["boolean[]"], ["bytea"], ["void"],
    ];

    private static readonly string[] Widest = ["bigint", "text", "numeric", "timestamp with time zone", "jsonb", "oid", "bigint[]", "text[]"];

    private static readonly string[] Concrete = [.. Kin.SelectMany(static kin => kin).Where(static type => !type.EndsWith("[]", StringComparison.Ordinal) && type is not "void")];

    public static async Task<List<string>> ReadAsync(NpgsqlConnection connection, SqlWords words, bool onlyCloser, CancellationToken stop)
    {
        var statements = new List<string>();
        var own = new List<Shadow>();
        await foreach (var row in RowsAsync(connection, Functions, words.Names, stop))
        {
            own.Add(new(row.GetString(0), row.GetString(1) is "a", row.GetBoolean(2), row.GetBoolean(3), (string[])row.GetValue(4), row.GetString(5))
            {
                WithOut = row.GetBoolean(6) ? (row.GetString(7), row.GetString(8)) : null,
                Aggregate = await row.IsDBNullAsync(9, stop) ? null : (row.GetString(9), row.GetString(10), row.GetValue(11) as string, row.GetValue(12) as string),
            });
        }

        await foreach (var row in RowsAsync(connection, OperatorsOf, words.Operators, stop))
        {
            string[] arguments = [row.GetString(1), row.GetString(2)];
            own.Add(new(row.GetString(0), false, false, false, arguments, row.GetString(3)) { IsOperator = true });
        }

        foreach (var name in own.Select(static one => one.Name).Distinct(StringComparer.Ordinal)) statements.Add(Shadow.Counter(name));
        var taken = own.Select(static one => one.Signature).ToHashSet(StringComparer.Ordinal);
        // A call that several would answer goes to the widest, which loses nothing of it.
        foreach (var one in own.OrderByDescending(static one => one.Arguments.Count(Widest.Contains)))
        {
            if (!onlyCloser && one.Arguments.All(IsUsed)) statements.AddRange(one.Create(one.Arguments, statements.Count));
            foreach (var variant in Variants(one.Arguments).Take(MostVariants))
            {
                if (taken.Add(one.With(variant))) statements.AddRange(one.Create(variant, statements.Count));
            }
        }

        if (onlyCloser) return statements;

        await foreach (var row in RowsAsync(connection, Views, words.Names, stop))
        {
            statements.Add(Shadow.Counter(row.GetString(0)));
            statements.Add($"CREATE VIEW public.{row.GetString(0)} AS SELECT v.* FROM pg_catalog.{row.GetString(0)} AS v WHERE NOT {ShadowObjects.IsCounted}() OR {ShadowObjects.Counters}.{Shadow.CounterOf(row.GetString(0))}()");
        }

        await foreach (var row in RowsAsync(connection, Types, words.Types, stop))
        {
            statements.Add(Shadow.Counter(row.GetString(0)));
            statements.Add($"CREATE DOMAIN public.{row.GetString(0)} AS pg_catalog.{row.GetString(0)} CHECK (NOT {ShadowObjects.IsCounted}() OR {ShadowObjects.Counters}.{Shadow.CounterOf(row.GetString(0))}())");
        }

        return statements;
    }

    private static bool IsUsed(string type) => Kin.Any(kin => kin.Contains(type));

    /// <summary>Argument types in place of these, all of them used ones.</summary>
    private static IEnumerable<string[]> Variants(string[] arguments)
    {
        if (arguments.Any(Shadow.IsPolymorphic)) return Concrete.Select(type => Array.ConvertAll(arguments, argument => Shadow.Become(argument, type)));

        IEnumerable<string[]> all = [[]];
        foreach (var argument in arguments)
        {
            var kin = Kin.FirstOrDefault(kin => kin.Contains(argument));
            if (kin is null) return [];

            all = all.SelectMany(left => kin.Select(type => (string[])[.. left, type]));
        }

        return all;
    }

    private static async IAsyncEnumerable<NpgsqlDataReader> RowsAsync(
        NpgsqlConnection connection, string sql, IReadOnlySet<string> names, [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken stop)
    {
        await using var command = new NpgsqlCommand(sql, connection) { Parameters = { new NpgsqlParameter<string[]> { TypedValue = [.. names] } } };
        await using var reader = await command.ExecuteReaderAsync(stop);
        while (await reader.ReadAsync(stop)) yield return reader;
    }
}
