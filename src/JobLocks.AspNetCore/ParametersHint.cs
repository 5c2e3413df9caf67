namespace JobLocks.AspNetCore;

/// <summary>Metadata of an endpoint: describes its parameters. Answered if they cannot be read.</summary>
/// <param name="Sentence">The description, one sentence.</param>
internal sealed record ParametersHint(string Sentence);
