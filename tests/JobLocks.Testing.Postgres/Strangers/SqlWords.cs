using System.Reflection;
using System.Text.RegularExpressions;

namespace JobLocks.Testing.Postgres;

/// <summary>The functions, relations and operators that SQL texts may resolve through the search path, read from the texts themselves.</summary>
public sealed partial class SqlWords
{
    // Syntax that PostgreSQL turns into an operator of that name, looked up through the search path.
    private static readonly (string Word, string[] Operators)[] Implied =
    [
        ("IN", ["=", "<>"]),
        ("USING", ["="]),
        ("WHEN", ["="]),
        ("DISTINCT", ["="]),
        ("nullif", ["="]),
        ("LIKE", ["~~", "!~~"]),
        ("ILIKE", ["~~*", "!~~*"]),
        ("BETWEEN", [">=", "<="]),
    ];

    private SqlWords(HashSet<string> names, HashSet<string> operators, HashSet<string> types) => (Names, Operators, Types) = (names, operators, types);

    /// <summary>Words that may be the name of a function or a relation. The server knows which are.</summary>
    public IReadOnlySet<string> Names { get; }

    /// <summary>Operators.</summary>
    public IReadOnlySet<string> Operators { get; }

    /// <summary>What values are cast to.</summary>
    public IReadOnlySet<string> Types { get; }

    /// <summary>All SQL texts of an assembly that never change, whatever class they stand in.</summary>
    public static IEnumerable<string> TextsOf(Assembly assembly) => assembly.GetTypes()
        .SelectMany(static type => type.GetFields(BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly))
        .Where(static field => field is { IsLiteral: true } or { IsInitOnly: true, DeclaringType.ContainsGenericParameters: false } && field.FieldType == typeof(string))
        .Select(static field => field.GetValue(null) as string)
        .OfType<string>()
        .Where(static text => Keyword().IsMatch(text));

    /// <summary>Reads texts. The bodies of functions are read too, comments and literals are not.</summary>
    public static SqlWords Of(IEnumerable<string> texts)
    {
        var names = new HashSet<string>(StringComparer.Ordinal);
        var operators = new HashSet<string>(StringComparer.Ordinal);
        var types = new HashSet<string>(StringComparer.Ordinal);
        foreach (var text in texts)
        {
            var code = Silent().Replace(text, " ");
            names.UnionWith(Word().Matches(code).Select(static match => match.Value));
            operators.UnionWith(Operator().Matches(code).Select(static match => match.Value));
            types.UnionWith(Cast().Matches(text).Select(static match => match.Groups["type"].Value));
            foreach (var (word, implied) in Implied)
            {
                if (Regex.IsMatch(code, $@"\b{word}\b", RegexOptions.None, TimeSpan.FromSeconds(1))) operators.UnionWith(implied);
            }
        }

        return new(names, operators, types);
    }

    [GeneratedRegex(@"\b(SELECT|INSERT|UPDATE|DELETE|CREATE|LOCK TABLE|CASE|WHERE)\b", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex Keyword();

    // Comments, literals, quoted names, dollar quotes without what is in them, and casts.
    [GeneratedRegex("""--[^\n]*|'([^']|'')*'|"[^"]*"|\$[a-z_]+\$|::""", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex Silent();

    [GeneratedRegex(@"::(pg_catalog\.)?(?<type>[a-z][a-z0-9]*)", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex Cast();

    [GeneratedRegex(@"\b[a-z_][a-z0-9_]+\b", RegexOptions.None, matchTimeoutMilliseconds: 1000)]
    private static partial Regex Word();

    [GeneratedRegex(@"[-+*/<>=~!@#%^&|?]+", RegexOptions.None, matchTimeoutMilliseconds: 1000)]
    private static partial Regex Operator();
}
