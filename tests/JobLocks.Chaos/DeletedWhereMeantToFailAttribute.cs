using Hangfire.Common;
using Hangfire.States;

namespace JobLocks.Chaos;

/// <summary>
/// Deletes a job that failed as it was meant to, before the retries are asked. Hangfire settles continuations at success and at deletion only.
/// </summary>
[AttributeUsage(AttributeTargets.Class)]
internal sealed class DeletedWhereMeantToFailAttribute : JobFilterAttribute, IElectStateFilter
{
    public void OnStateElection(ElectStateContext context)
    {
        if (context.CandidateState is FailedState { Exception: MeantToFailException }) context.CandidateState = new DeletedState();
    }
}
