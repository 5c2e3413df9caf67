using JobLocks.Diagnostics;
using JobLocks.WaitQueue;
using Microsoft.Extensions.Logging;

namespace JobLocks.Gate;

/// <summary>Enqueues and dequeues runs for the gate. Thread-safe.</summary>
internal sealed class Queueing(ILockBackend locks, ILogger log)
{
    /// <summary>After how long a job store starts a parked run that no process has woken. Long, so that 100,000 waiting runs cause little load.</summary>
    public static readonly TimeSpan UnwokenStartDelay = TimeSpan.FromHours(1);

    /// <summary>
    /// Delay between the end of the longest wait and the start by the job store. JobLocks wakes the run at the end of the wait; a start by the store at the
    /// same moment would start the run twice.
    /// </summary>
    public static readonly TimeSpan DelayAfterLongestWait = TimeSpan.FromSeconds(10);

    // Not a whole number of minutes, because the longest wait of a rule usually is one: the store must not start the run at the moment when
    // JobLocks wakes it because its longest wait is over.
    private static readonly TimeSpan EarlyUnwokenStart = UnwokenStartDelay - TimeSpan.FromSeconds(67);

    /// <summary>
    /// After how long the job store starts a run by itself. The search for lost queue entries covers an hour and a minute, so no run is parked for longer. If its longest
    /// wait exceeds one hour, the store starts it 67 seconds before the hour is over, and it waits again.
    /// </summary>
    /// <param name="longestWait">The longest wait of the run; null for no limit.</param>
    public static TimeSpan UnwokenStartFor(TimeSpan? longestWait) =>
        longestWait is not { } longest ? UnwokenStartDelay : longest <= UnwokenStartDelay ? longest + DelayAfterLongestWait : EarlyUnwokenStart;

    // A check is repeated where some of the counted runs no longer existed.
    private const int MostChecks = 3;

    /// <summary>The queue entry of a run; null where it has none.</summary>
    public async ValueTask<QueueEntry?> FindAsync(JobCall call, bool blocks, CancellationToken stop)
    {
        if (!call.MayHaveQueueEntry || !await locks.WaitQueue.IsUsableAsync(blocks, stop).ConfigureAwait(false)) return null;

        return call.Address(hasNoEntry: false) is { } address ? await locks.WaitQueue.FindAsync(address, blocks, stop).ConfigureAwait(false) : null;
    }

    /// <summary>The address of the run where its rule has it wait for this lock; otherwise null.</summary>
    public async ValueTask<RunAddress?> AddressOfAsync(JobCall call, RuleRequest request, bool hasNoEntry, bool blocks, CancellationToken stop) =>
        request.Rule.OnConflict == OnConflict.Wait && await locks.WaitQueue.IsUsableAsync(blocks, stop).ConfigureAwait(false) ? call.Address(hasNoEntry) : null;

    /// <summary>Enqueues the run for a lock. Where the run waited for another lock before, the next run of that queue is woken.</summary>
    public async ValueTask<EnqueueResult> EnqueueAsync(JobCall call, RunAddress address, RuleRequest request, TimeSpan? atMost, bool blocks, CancellationToken stop)
    {
        var rules = request.Rule.Wait with { AtMost = atMost };
        var enqueued = await locks.WaitQueue.EnqueueAsync(address, request.Lock, rules, blocks, stop).ConfigureAwait(false);
        // Without a limit by KeepWaiting, the run is rescheduled in any case, so no store is asked.
        for (var tries = 0; enqueued.Entry is null && rules.Keep > 0 && enqueued.Ahead >= rules.Keep && tries < MostChecks; tries++)
        {
            var check = await locks.WaitQueue.CheckCountedWaitersAsync(request.Key, enqueued.Ahead, blocks, stop).ConfigureAwait(false);
            if (check == WaiterCheckResult.Unconfirmed) break;

            enqueued = check == WaiterCheckResult.AllExist && rules.KeepsNewest
                ? await locks.WaitQueue.ReplaceOldestAsync(address, request.Lock, rules, blocks, stop).ConfigureAwait(false)
                : await locks.WaitQueue.EnqueueAsync(address, request.Lock, rules, blocks, stop).ConfigureAwait(false);
            if (check != WaiterCheckResult.AllExist) continue;

            enqueued = enqueued with { AreWaitersConfirmed = true };
            break;
        }

        if (enqueued.IsNewEntry)
        {
            locks.Statistics.Waited(request.Key, request.Name);
            locks.Meter.Enqueued(call.Scheduler, request.Label, enqueued.Ahead + 1);
        }

        if (enqueued.FormerKey is { } formerKey) locks.WaitQueue.WakeNext(formerKey);
        return enqueued;
    }

    /// <summary>
    /// Lets an admitted run wait again with its former entry. Null where it had no queue entry, where its rules do not request that lock any more, or where
    /// it cannot be parked.
    /// </summary>
    public static Admission.Waits? WaitAgain(JobCall call, IReadOnlyList<RuleRequest> requests, Admission.Admitted admitted)
    {
        if (admitted.FormerEntry is not { } formerEntry
            || requests.FirstOrDefault(request => request.Key == formerEntry.Key) is not { } request
            || call.Address(hasNoEntry: false) is not { } address) return null;

        var atMost = requests.Min(static ruleRequest => ruleRequest.Rule.Wait.AtMost);
        return new(
            formerEntry with { Request = formerEntry.Request ?? new(address, request.Lock, atMost) },
            address,
            $"{JobGate.WaitReason}{request.ShownName}: the lock server was slow to answer",
            UnwokenStartFor(atMost))
        {
            Position = 1,
        };
    }

    /// <summary>Asks the job stores whether the runs ahead of this one still exist. Called before this run is skipped or failed because of them.</summary>
    public ValueTask<WaiterCheckResult> CheckWaitersAsync(RuleRequest request, bool blocks, CancellationToken stop) =>
        locks.WaitQueue.CheckWaitersAsync(request.Key, count: request.Lock.Limit, blocks, stop);

    /// <summary>Removes the queue entry of a run that does not get its lock, and wakes the next run, since this one may have been woken.</summary>
    public async ValueTask DequeueAndWakeNextAsync(JobCall call, RuleRequest request, QueueEntry entry, bool blocks)
    {
        await DequeueAsync(call, request, entry, blocks).ConfigureAwait(false);
        locks.WaitQueue.WakeNext(entry.Key);
    }

    /// <summary>Removes the queue entry of an admitted run, now or as soon as the queue can be used.</summary>
    public async ValueTask DequeueAdmittedAsync(JobCall call, RuleRequest request, QueueEntry? entry, bool blocks)
    {
        if (entry is not null) await DequeueAsync(call, request, entry, blocks).ConfigureAwait(false);
        // The queue could not be read, so the run may have an entry: other runs would be skipped or failed because of it.
        else if (call.MayHaveQueueEntry && !await locks.WaitQueue.IsUsableAsync(blocks, CancellationToken.None).ConfigureAwait(false)) DequeueLater(call);
    }

    /// <summary>
    /// Removes the queue entry of a run. An error is only logged: a run that holds its locks starts all the same, and its entry is removed later.
    /// </summary>
    public async ValueTask DequeueAsync(JobCall call, RuleRequest request, QueueEntry entry, bool blocks)
    {
        try
        {
            await locks.WaitQueue.DequeueAsync(entry, blocks, CancellationToken.None).ConfigureAwait(false);
        }
        catch (Exception failure)
        {
            log.CannotDequeue(call.ShownId, request.ShownName, failure);
            DequeueLater(call);
        }
    }

    /// <summary>
    /// Calls the run that follows an admitted one in the queue, so that it reaches a worker shortly before the lock is free. Called only for an admitted run that
    /// has waited: otherwise there is rarely a next run.
    /// </summary>
    public void CallNext(QueueEntry admitted)
    {
        if (locks.LongestWaitInWorker <= TimeSpan.Zero || locks.UsualHolds.Find(admitted.Key) is not { } usual) return;

        // The middle of the wait in the worker is planned for the end of the usual hold, since the hold may be shorter or longer.
        var after = usual - (locks.LongestWaitInWorker / 2);
        locks.WaitQueue.CallNext(admitted.Key, after > TimeSpan.Zero ? after : TimeSpan.Zero);
    }

    private void DequeueLater(JobCall call)
    {
        try
        {
            if (call.Address(hasNoEntry: false) is { } address) locks.WaitQueue.DequeueLater(address);
        }
        catch (Exception)
        {
            // The job store cannot say its name. The run starts all the same, and a sweep removes the entry.
        }
    }
}
