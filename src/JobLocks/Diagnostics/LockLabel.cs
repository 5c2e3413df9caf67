using System.Runtime.InteropServices;

namespace JobLocks.Diagnostics;

/// <summary>How metrics and traces name a lock.</summary>
/// <param name="Template">The template of the rule; null for a lock that code acquired by hand.</param>
/// <param name="Name">The lock name; null for a lock that is known by its key alone.</param>
[StructLayout(LayoutKind.Auto)]
internal readonly record struct LockLabel(string? Template, string? Name);
