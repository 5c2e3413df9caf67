namespace JobLocks.Rules;

/// <summary>What a rule says about the line.</summary>
/// <param name="AtMost">How long a run waits; null for as long as it takes.</param>
/// <param name="Keep">How many runs may wait under one name; 0 for all.</param>
/// <param name="KeepsNewest">Whether a further run takes the place of the oldest one, instead of being skipped itself.</param>
internal readonly record struct WaitRules(TimeSpan? AtMost, int Keep, bool KeepsNewest);
