using JobLocks.Gate;

namespace JobLocks.Hangfire;

/// <summary>What a run carries from its admission to its end.</summary>
/// <param name="EnteredBy">The attribute that asked: of several on one job, the outermost, whose end comes last.</param>
/// <param name="Admitted">To be disposed when the run is over.</param>
internal sealed record EnteredRun(JobLockAttribute EnteredBy, Admission.Admitted Admitted)
{
    public const string ItemKey = "JobLocks.Entered";
}
