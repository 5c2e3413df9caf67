namespace JobLocks.AspNetCore;

/// <summary>What the parameters of an endpoint must be like. Answered where they cannot be read.</summary>
/// <param name="Sentence">One sentence.</param>
internal sealed record ParametersHint(string Sentence);
