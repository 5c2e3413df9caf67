namespace JobLocks.Rules;

/// <summary>The settings of a rule for the wait queue.</summary>
/// <param name="AtMost">The longest wait; null for no limit.</param>
/// <param name="Keep">How many runs may wait for one lock name; 0 for no limit.</param>
/// <param name="KeepsNewest">Whether a further run replaces the oldest waiting run instead of being skipped itself.</param>
internal readonly record struct WaitRules(TimeSpan? AtMost, int Keep, bool KeepsNewest);
