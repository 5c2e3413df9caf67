namespace JobLocks.Benchmarks.Results;

/// <summary>What stands below the table.</summary>
internal static class Notes
{
    public static string? Join(params string?[] notes)
    {
        var said = notes.Where(static note => note is not null).ToList();
        return said.Count == 0 ? null : string.Join("; ", said);
    }
}
