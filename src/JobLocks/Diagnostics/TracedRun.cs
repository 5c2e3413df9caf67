using System.Diagnostics;
using System.Runtime.InteropServices;

namespace JobLocks.Diagnostics;

/// <summary>A run as traces show it.</summary>
/// <param name="Scheduler">The scheduler: <c>Hangfire</c>.</param>
/// <param name="Id">The scheduler's name for the run, in one line.</param>
/// <param name="MadeBy">The activity that made the job; null where the scheduler does not keep it.</param>
[StructLayout(LayoutKind.Auto)]
internal readonly record struct TracedRun(string Scheduler, string Id, ActivityContext? MadeBy);
