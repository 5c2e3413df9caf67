using System.Diagnostics;
using System.Runtime.InteropServices;

namespace JobLocks.Diagnostics;

/// <summary>A run as traces show it.</summary>
/// <param name="Scheduler">The name of the scheduler: <c>Hangfire</c>.</param>
/// <param name="Id">The scheduler's id of the run, made one line.</param>
/// <param name="CreatedBy">The activity that created the job; null where the scheduler does not keep it.</param>
[StructLayout(LayoutKind.Auto)]
internal readonly record struct TracedRun(string Scheduler, string Id, ActivityContext? CreatedBy);
