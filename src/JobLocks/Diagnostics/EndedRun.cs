using System.Runtime.InteropServices;

namespace JobLocks.Diagnostics;

/// <summary>A run that has released its lock.</summary>
/// <param name="Run">The run; null where it is unknown.</param>
/// <param name="WaitingSince">When the run began to wait for the lock; null where it did not wait.</param>
/// <param name="HeldSince">When it was granted the lock.</param>
/// <param name="ReleasedAt">When it released the lock.</param>
[StructLayout(LayoutKind.Auto)]
internal readonly record struct EndedRun(string? Run, DateTimeOffset? WaitingSince, DateTimeOffset HeldSince, DateTimeOffset ReleasedAt);
