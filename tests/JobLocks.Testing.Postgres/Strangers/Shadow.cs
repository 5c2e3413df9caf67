using System.Globalization;

namespace JobLocks.Testing.Postgres;

/// <summary>One function, aggregate or operator of the server, and the statements that create another of its name.</summary>
internal sealed record Shadow(string Name, bool IsAggregate, bool IsSet, bool IsStrict, string[] Arguments, string Result)
{
    public bool IsOperator { get; init; }

    /// <summary>Arguments and result as the server writes them, where some arguments are results.</summary>
    public (string Arguments, string Result)? WithOut { get; init; }

    public (string Step, string State, string? Start, string? Final)? Aggregate { get; init; }

    public string Signature => With(Arguments);

    public string With(string[] arguments) => $"{(IsOperator ? "operator" : "function")} {Name}({string.Join(", ", arguments)})";

    public static string CounterOf(string name) => $"\"{name}\"";

    /// <summary>What counts the calls of all shadows of a name.</summary>
    public static string Counter(string name) =>
        $"CREATE OR REPLACE FUNCTION {ShadowObjects.Counters}.{CounterOf(name)}() RETURNS boolean LANGUAGE plpgsql COST 1 AS $count$BEGIN RETURN true; END$count$";

    public static bool IsPolymorphic(string type) => type.StartsWith("any", StringComparison.Ordinal) || type is "\"any\"";

    /// <summary>The type for a polymorphic one where its element is another.</summary>
    public static string Become(string type, string element) => type switch
    {
        "anyarray" or "anycompatiblearray" => element + "[]",
        _ when IsPolymorphic(type) => element,
        _ => type,
    };

    /// <summary>The statements that create it with other argument types.</summary>
    public IEnumerable<string> Create(string[] arguments, int number)
    {
        var element = Arguments.Zip(arguments).Where(static pair => IsPolymorphic(pair.First)).Select(static pair => pair.Second.Replace("[]", "", StringComparison.Ordinal)).FirstOrDefault();
        var result = element is null ? Result : Become(Result, element);
        if (Aggregate is { } aggregate) return CreateAggregate(arguments, element, aggregate, number);

        var given = Arguments.Select((argument, i) => IsPolymorphic(argument) ? $"${i + 1}" : $"${i + 1}::{Qualified(argument)}").ToList();
        if (IsOperator)
        {
            var name = $"{ShadowObjects.Counters}.op_{number.ToString(CultureInfo.InvariantCulture)}";
            return
            [
                Function(name, string.Join(", ", arguments), result, $"RETURN {given[0]} OPERATOR(pg_catalog.{Name}) {given[1]};"),
                $"CREATE OPERATOR public.{Name} (FUNCTION = {name}, LEFTARG = {arguments[0]}, RIGHTARG = {arguments[1]})",
            ];
        }

        var call = $"pg_catalog.{Name}({string.Join(", ", given)})";
        if (WithOut is { } written)
        {
            return IsPolymorphic(element ?? "")
                ? []
                : [Function($"public.{Name}", written.Arguments, written.Result, IsSet ? $"RETURN QUERY SELECT * FROM {call};" : $"RETURN {call};")];
        }

        var answer = (IsSet, Result) switch
        {
            (true, "record") => "RETURN;",
            (true, _) => $"RETURN QUERY SELECT * FROM {call};",
            (_, "void") => $"PERFORM {call};",
            _ => $"RETURN {call};",
        };
        return [Function($"public.{Name}", string.Join(", ", arguments), (IsSet ? "SETOF " : "") + result, answer)];
    }

    private IEnumerable<string> CreateAggregate(string[] arguments, string? element, (string Step, string State, string? Start, string? Final) aggregate, int number)
    {
        if (aggregate.State is "internal" || aggregate.Final is not null) return [];

        var step = $"{ShadowObjects.Counters}.step_{number.ToString(CultureInfo.InvariantCulture)}";
        var state = element is null ? aggregate.State : Become(aggregate.State, element);
        // Of the server's own step, those that take anything do not look at it.
        var given = Arguments.Select(static (argument, i) => $", ${i + 2}::{Qualified(argument)}").Where((_, i) => Arguments[i] is not "\"any\"");
        var call = aggregate.Step.Replace("_any", "", StringComparison.Ordinal);
        return
        [
            Function(step, string.Join(", ", arguments.Prepend(state)), state, $"RETURN pg_catalog.{call}($1{string.Concat(given)});", aggregate.Start is null),
            $"CREATE AGGREGATE public.{Name} ({(arguments.Length == 0 ? "*" : string.Join(", ", arguments))}) (SFUNC = {step}, STYPE = {state}{(aggregate.Start is { } start ? $", INITCOND = '{start}'" : "")})",
        ];
    }

    private string Function(string name, string arguments, string result, string answer, bool? isStrict = null) =>
        $"""
        CREATE FUNCTION {name}({arguments}) RETURNS {result} LANGUAGE plpgsql{(isStrict ?? IsStrict ? " STRICT" : "")} AS $shadow$
        BEGIN
            IF {ShadowObjects.IsCounted}() THEN PERFORM {ShadowObjects.Counters}.{CounterOf(Name)}(); END IF;
            {answer}
        END $shadow$
        """;

    private static string Qualified(string type) => type is "name" or "oid" or "text" or "jsonb" or "json" or "bytea" or "inet" or "date" or "void" or "regclass" or "regnamespace" ? $"pg_catalog.{type}" : type;
}
