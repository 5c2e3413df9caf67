using System.Collections.Concurrent;
using JobLocks.Gate;

namespace JobLocks.Quartz.Entering;

/// <summary>The runs of one scheduler that wait in their threads until the gate decides. Thread-safe.</summary>
/// <param name="decisions">The decisions of the scheduler.</param>
/// <param name="isRemoved">Whether the trigger of a run was removed from the store, so that the run must not start any more. Does not throw.</param>
internal sealed class RunsInThreads(FiringDecisions decisions, Func<FiredRun, ValueTask<bool>> isRemoved)
{
    private readonly ConcurrentDictionary<string, (FiredRun Run, Admission Answer)> _putBack = new(StringComparer.Ordinal);

    /// <summary>Adds a run whose answer follows.</summary>
    /// <returns>Completes with the decision.</returns>
    public Task Add(FiredRun run, Task<Admission> answer)
    {
        var decision = DecideAsync(run, answer);
        decisions.Await(run.Id, decision);
        return decision;
    }

    /// <summary>
    /// The run of a firing that ends without having executed, and is put back now, with the answer of the gate; null for any other firing. Waits for the
    /// answer: another listener may have ended the firing before.
    /// </summary>
    public async ValueTask<(FiredRun Run, Admission Answer)?> TryTakePutBackAsync(string fireInstanceId) =>
        await decisions.IsPutBackAsync(fireInstanceId).ConfigureAwait(false) && _putBack.TryRemove(fireInstanceId, out var putBack) ? putBack : null;

    /// <returns>Whether the run is put back at the end of its firing.</returns>
    private async Task<bool> DecideAsync(FiredRun run, Task<Admission> answer)
    {
        try
        {
            switch (await answer.ConfigureAwait(false))
            {
                case Admission.Admitted admitted when await isRemoved(run).ConfigureAwait(false):
                    admitted.Dispose();
                    decisions.Refuse(run.Id, failure: null);
                    return false;
                case Admission.Admitted admitted:
                    decisions.Remember(run.Id, admitted);
                    return false;
                case Admission.Refused { Action: OnConflict.Skip }:
                    decisions.Refuse(run.Id, failure: null);
                    return false;
                case Admission.Refused { Action: OnConflict.Fail } refused:
                    decisions.Refuse(run.Id, new JobLockConflictException(refused.Reason));
                    return false;
                case var later:
                    _putBack[run.Id] = (run, later);
                    return true;
            }
        }
        catch (JobLockRuleException broken)
        {
            decisions.Refuse(run.Id, broken);
            return false;
        }
    }
}
