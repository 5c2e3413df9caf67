using JobLocks.Gate;

namespace JobLocks.Line;

/// <summary>What a run said when it came to stand in the line: enough to give it its place once more.</summary>
/// <param name="Run">Who.</param>
/// <param name="Wish">What for.</param>
/// <param name="AtMost">How long it waits; null for as long as it takes.</param>
internal sealed record Stance(RunAddress Run, LockWish Wish, TimeSpan? AtMost);
