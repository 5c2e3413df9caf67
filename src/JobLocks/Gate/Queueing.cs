using JobLocks.Diagnostics;
using JobLocks.WaitQueue;
using Microsoft.Extensions.Logging;

namespace JobLocks.Gate;

/// <summary>How a run comes to the line, and goes. Thread-safe.</summary>
internal sealed class Queueing(ILockKeeper locks, ILogger log)
{
    /// <summary>When a store starts a run by itself that nobody wakes. Long, since a hundred thousand that wait are not to churn.</summary>
    public static readonly TimeSpan LastResort = TimeSpan.FromHours(1);

    /// <summary>How much later than its time is over: a run is told by us, and would be started a second time if its store came at the same moment.</summary>
    public static readonly TimeSpan Grace = TimeSpan.FromSeconds(10);

    // Not a whole number of minutes, as the longest wait of a rule is: the run is not to start by itself just when it is told that its time is over.
    private static readonly TimeSpan BeforeLastResort = LastResort - TimeSpan.FromSeconds(67);

    /// <summary>
    /// When the store starts a run by itself that waits at most so long. One that may wait for longer than the last resort starts before that and waits
    /// again: stores are searched for runs without a place up to the last resort only.
    /// </summary>
    public static TimeSpan DueAfter(TimeSpan? atMost) => atMost is not { } longest ? LastResort : longest <= LastResort ? longest + Grace : BeforeLastResort;

    // Each time, some that were counted were gone.
    private const int MostRollCalls = 3;

    /// <summary>The place that a run has already; null for a newcomer.</summary>
    public async ValueTask<QueueEntry?> FindAsync(JobCall call, bool blocks, CancellationToken stop)
    {
        if (!call.MayWaitInQueue || !await locks.WaitQueue.IsUsableAsync(blocks, stop).ConfigureAwait(false)) return null;

        return call.Address(false) is { } address ? await locks.WaitQueue.FindAsync(address, blocks, stop).ConfigureAwait(false) : null;
    }

    /// <summary>Where the run would wait for this lock; null where it does not.</summary>
    public async ValueTask<RunAddress?> AddressOfAsync(JobCall call, RuleRequest request, bool isNewcomer, bool blocks, CancellationToken stop) =>
        request.Rule.OnConflict == OnConflict.Wait && await locks.WaitQueue.IsUsableAsync(blocks, stop).ConfigureAwait(false) ? call.Address(isNewcomer) : null;

    /// <summary>Puts the run into the line of a lock. Where it stood in another one, those behind it are told.</summary>
    public async ValueTask<EnqueueResult> EnqueueAsync(JobCall call, RunAddress address, RuleRequest request, TimeSpan? atMost, bool blocks, CancellationToken stop)
    {
        var rules = request.Rule.Wait with { AtMost = atMost };
        var standing = await locks.WaitQueue.EnqueueAsync(address, request.Lock, rules, blocks, stop).ConfigureAwait(false);
        // A run that is rescheduled in any case needs no answer of a store.
        for (var tries = 0; standing.Place is null && rules.Keep > 0 && standing.Ahead >= rules.Keep && tries < MostRollCalls; tries++)
        {
            var said = await locks.WaitQueue.CheckCountedWaitersAsync(request.Key, standing.Ahead, blocks, stop).ConfigureAwait(false);
            if (said == WaiterCheckResult.NoAnswer) break;

            standing = said == WaiterCheckResult.AllAreThere && rules.KeepsNewest
                ? await locks.WaitQueue.ReplaceOldestAsync(address, request.Lock, rules, blocks, stop).ConfigureAwait(false)
                : await locks.WaitQueue.EnqueueAsync(address, request.Lock, rules, blocks, stop).ConfigureAwait(false);
            if (said != WaiterCheckResult.AllAreThere) continue;

            standing = standing with { IsVouchedFor = true };
            break;
        }

        if (standing.IsNew)
        {
            locks.Ledger.Waited(request.Key, request.Name);
            locks.Meter.Stands(call.Scheduler, request.Label, standing.Ahead + 1);
        }

        if (standing.LeftKey is { } left) locks.WaitQueue.WakeNext(left);
        return standing;
    }

    /// <summary>Has a run wait again at the position that it left with its locks; null where it had none, or waits for other locks by now.</summary>
    public static Admission.Waits? WaitAgain(JobCall call, IReadOnlyList<RuleRequest> requests, Admission.Admitted late)
    {
        if (late.Left is not { } left || requests.FirstOrDefault(request => request.Key == left.Key) is not { } request || call.Address(false) is not { } address) return null;

        var atMost = requests.Min(static wanted => wanted.Rule.Wait.AtMost);
        return new(
            left with { Request = left.Request ?? new(address, request.Lock, atMost) },
            address,
            $"{JobGate.WaitReason}{request.ShownName}: the lock server was slow to answer",
            DueAfter(atMost))
        {
            Position = 1,
        };
    }

    /// <summary>Whether the runs before this one are really there: before it is dropped on their account.</summary>
    public ValueTask<WaiterCheckResult> CheckWaitersAsync(RuleRequest request, bool blocks, CancellationToken stop) =>
        locks.WaitQueue.CheckWaitersAsync(request.Key, count: request.Lock.Limit, blocks, stop);

    /// <summary>Takes a run out of the line that goes without its lock: if it was its turn, it is that of another one.</summary>
    public async ValueTask StepBackAsync(JobCall call, RuleRequest request, QueueEntry place, bool blocks)
    {
        await LeaveAsync(call, request, place, blocks).ConfigureAwait(false);
        locks.WaitQueue.WakeNext(place.Key);
    }

    /// <summary>Takes the run out of the line. It has its locks and goes on, whatever comes of that.</summary>
    public async ValueTask LeaveAsync(JobCall call, RuleRequest request, QueueEntry place, bool blocks)
    {
        try
        {
            await locks.WaitQueue.DequeueAsync(place, blocks, CancellationToken.None).ConfigureAwait(false);
        }
        catch (Exception broken)
        {
            log.CannotLeave(call.ShownId, request.ShownName, broken);
        }
    }
}
