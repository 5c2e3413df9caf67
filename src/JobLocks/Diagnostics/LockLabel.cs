using System.Runtime.InteropServices;

namespace JobLocks.Diagnostics;

/// <summary>Identifies a lock in metrics and traces.</summary>
/// <param name="Template">The template of the rule; null where code acquired the lock by hand.</param>
/// <param name="Name">The lock name; null where only the key is known.</param>
[StructLayout(LayoutKind.Auto)]
internal readonly record struct LockLabel(string? Template, string? Name);
