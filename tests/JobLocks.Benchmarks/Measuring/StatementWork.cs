namespace JobLocks.Benchmarks.Measuring;

/// <summary>What one statement cost the server.</summary>
/// <param name="Text">The statement, without its values.</param>
/// <param name="Calls">How often it ran.</param>
/// <param name="Milliseconds">For planning and executing it, in all.</param>
internal sealed record StatementWork(string Text, double Calls, double Milliseconds)
{
    /// <summary>Whether JobLocks sent it. The rest belongs to the scheduler.</summary>
    public bool IsOurs => Text.Contains("joblocks", StringComparison.OrdinalIgnoreCase) || Text.Contains("pg_temp.", StringComparison.OrdinalIgnoreCase);
}
