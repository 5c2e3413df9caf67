namespace JobLocks.Postgres.Schema;

/// <summary>The names of the tables and sequences of this library.</summary>
internal static class SchemaObjects
{
    /// <summary>The tables and sequences, as a list in SQL.</summary>
    public const string List = $"'fence', 'entry_numbers', {TableList}";

    private const string TableList = "'servers', 'wait_queue', 'declared_limits', 'sessions', 'holders', 'names', 'minutes', 'recent_runs', 'samples'";

    /// <summary>The tables.</summary>
    public static IReadOnlyList<string> Tables { get; } = NamesIn(TableList);

    /// <summary>The number of tables and sequences.</summary>
    public static int Count { get; } = NamesIn(List).Length;

    private static string[] NamesIn(string list) => [.. list.Split(", ").Select(static name => name.Trim('\''))];
}
