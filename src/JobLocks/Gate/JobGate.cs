using JobLocks.Diagnostics;
using JobLocks.Inspection;
using JobLocks.Locks;
using JobLocks.Primitives;
using JobLocks.WaitQueue;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace JobLocks.Gate;

/// <summary>Decides whether a run may start: the only type that does. Thread-safe.</summary>
internal sealed class JobGate(ILockBackend locks, ILogger<JobGate> log)
{
    /// <summary>The prefix of the reason of a run that waits. The job stores recognise such a run by it.</summary>
    public const string WaitReason = "Waiting for ";

    /// <summary>The prefix of the reason of a rescheduled run. If such a run had a queue entry, it may still have it.</summary>
    public const string RescheduledReason = "Rescheduled";

    // How often the locks are requested because runs ahead of this one no longer existed. If the lock turns out to have no holder, they are requested once more.
    private const int MostTries = 4;

    private readonly Queueing _queueing = new(locks, log);
    private readonly SelfWaits _selfWaits = new(log);
    private readonly Refusals _refusals = new(locks, log);

    /// <summary>Creates the loggers of the adapters, which carry out the decisions.</summary>
    public ILoggerFactory Loggers { get; private init; } = NullLoggerFactory.Instance;

    /// <summary>Whether the locks were disposed. Then no run is admitted any more.</summary>
    public bool IsClosed => locks.IsClosed;

    /// <summary>Reads the state of the locks, for a dashboard.</summary>
    public IPageInspector Inspection => locks.Inspection;

    /// <summary>Creates a gate for locks that were created without a container.</summary>
    /// <exception cref="ArgumentException"><paramref name="locks"/> is no implementation of JobLocks.</exception>
    public static JobGate To(IJobLocks locks, ILoggerFactory? loggers = null)
    {
        ArgumentNullException.ThrowIfNull(locks);

        return locks is ILockBackend backend
            ? new(backend, (loggers ?? NullLoggerFactory.Instance).CreateLogger<JobGate>()) { Loggers = loggers ?? NullLoggerFactory.Instance }
            : throw new ArgumentException($"A {locks.GetType().Name} cannot lock runs. Use {nameof(AdvisoryLocks)}.{nameof(AdvisoryLocks.Connect)}(connectionString).", nameof(locks));
    }

    /// <summary>Makes a job store known: from now on this process wakes its runs while one of its schedulers takes runs.</summary>
    public void AddStore(IRunStore store) => locks.WaitQueue.AddStore(store);

    /// <summary>Forgets a job store: from now on this process does not wake its runs any more; other processes may.</summary>
    public void RemoveStore(IRunStore store) => locks.WaitQueue.RemoveStore(store);

    /// <summary>Acquires all locks of a run or none of them.</summary>
    /// <exception cref="JobLockRuleException">A lock name cannot be built for this run. The run must fail and must not start.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="stop"/> was cancelled. No lock is held.</exception>
    public Task<Admission> TryEnterAsync(JobCall call, CancellationToken stop) => EnterAsync(call, blocks: false, stop).AsTask();

    /// <summary>
    /// As <see cref="TryEnterAsync"/>, for a scheduler that cannot await. Blocks the caller, and needs no thread but the caller's and the session's.
    /// </summary>
    /// <exception cref="JobLockRuleException">A lock name cannot be built for this run. The run must fail and must not start.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="stop"/> was cancelled. No lock is held.</exception>
    public Admission TryEnter(JobCall call, CancellationToken stop) => Blocking.Wait(EnterAsync(call, blocks: true, stop).AsTask());

    /// <summary>Call it when a job was created. A warning follows where the creating run holds the lock that the job needs.</summary>
    /// <param name="created">Returns the created job; null where it has no locks. Called only inside a run that holds a lock.</param>
    public void OnJobCreated(Func<JobCall?> created)
    {
        if (JobLockHandle.Current is { IsReleased: false } handle && created() is { } call) _selfWaits.OnJobCreated(handle, call, locks.Scope);
    }

    /// <summary>Call it when the job store has parked a waiting run.</summary>
    /// <exception cref="Npgsql.NpgsqlException">The wait queue cannot be updated. A sweep does it later.</exception>
    public Task MarkParkedAsync(QueueEntry entry) => locks.WaitQueue.MarkParkedAsync(entry, blocks: false, CancellationToken.None).AsTask();

    /// <inheritdoc cref="MarkParkedAsync"/>
    public void MarkParked(QueueEntry entry) => Blocking.Wait(locks.WaitQueue.MarkParkedAsync(entry, blocks: true, CancellationToken.None).AsTask());

    /// <summary>
    /// The answer for a run whose scheduler did not wait until its locks were acquired: the run waits again with its former entry. The caller parks the run
    /// first and then releases the locks, which wakes the run.
    /// </summary>
    /// <returns>Null where the run had no queue entry, or cannot wait.</returns>
    public Admission.Waits? WaitAgain(JobCall call, Admission.Admitted admitted) => Queueing.WaitAgain(call, RuleRequest.AllOf(call, locks.Scope), admitted);

    private async ValueTask<Admission> EnterAsync(JobCall call, bool blocks, CancellationToken stop)
    {
        var requests = RuleRequest.AllOf(call, locks.Scope);
        var startedAt = LockMeter.Now;
        Admission admission;
        using (var span = locks.Traces.Begin(call.Traced, requests[0].Label))
        {
            admission = await DecideAsync(call, requests, blocks, stop).ConfigureAwait(false);
            LockTraces.Answered(span, admission.Outcome, admission.Error);
        }

        locks.Meter.Answered(call.Scheduler, requests[0].Label, admission.Outcome, startedAt);
        if (admission is Admission.Admitted { FormerEntry: { } formerEntry })
        {
            locks.Meter.Waited(call.Scheduler, requests[0].Label, formerEntry.Since);
            locks.Traces.Waited(call.Traced, requests[0].Label, formerEntry.Since);
            CountFreeTime(call, requests, formerEntry);
            _queueing.CallNext(formerEntry);
        }

        return admission;
    }

    /// <summary>Between the wake of a run and its start, its lock was free, and its work stood still.</summary>
    private void CountFreeTime(JobCall call, IReadOnlyList<RuleRequest> requests, QueueEntry formerEntry)
    {
        if (formerEntry.WokenAt is not { } wokenAt || requests.FirstOrDefault(request => request.Key == formerEntry.Key) is not { } waitedFor) return;

        // The server computed the age of the wake, and its clock may have been set back.
        var time = BootClock.Now > wokenAt ? BootClock.Now - wokenAt : TimeSpan.Zero;
        locks.Statistics.WasFree(waitedFor.Key, waitedFor.Name, time);
        locks.Meter.Started(call.Scheduler, waitedFor.Label, time);
    }

    private async ValueTask<Admission> DecideAsync(JobCall call, IReadOnlyList<RuleRequest> requests, bool blocks, CancellationToken stop)
    {
        var lockRequests = requests.Select(static request => request.Lock).ToArray();
        var run = new Holder { Run = Refusals.RunOf(call), Store = call.Store() };
        try
        {
            var entry = await _queueing.FindAsync(call, blocks, stop).ConfigureAwait(false);
            if (entry?.SkipReason is { } skipReason) return await RefuseReplacedAsync(call, requests[0], entry, skipReason, blocks).ConfigureAwait(false);

            for (var tries = 1; ; tries++)
            {
                var result = await locks.TryAcquireAllAsync(lockRequests, run, entry, blocks, stop).ConfigureAwait(false);
                if (result.Refused is null) return await AdmitAsync(call, requests, result, entry, blocks).ConfigureAwait(false);

                var refused = RequestFor(result.Refused, requests);
                if (await _queueing.AddressOfAsync(call, refused, hasNoEntry: entry is null, blocks, stop).ConfigureAwait(false) is { } address)
                    return await QueueAsync(call, run, requests, refused, address, wasCalled: entry?.WasCalled == true, blocks, stop).ConfigureAwait(false);

                if (result.IsRefusedForQueue && refused.Rule.OnConflict is OnConflict.Skip or OnConflict.Fail)
                {
                    var check = await _queueing.CheckWaitersAsync(refused, blocks, stop).ConfigureAwait(false);
                    if (check == WaiterCheckResult.SomeRemoved && tries < MostTries) continue;
                    if (check != WaiterCheckResult.AllExist) return _refusals.RescheduleUnconfirmed(call, refused);
                }

                var holder = result.IsRefusedForQueue ? null : await locks.FindHolderAsync(result.Refused, blocks, stop).ConfigureAwait(false);
                if (holder is not null || result.IsRefusedForQueue || tries > 1) return _refusals.Refuse(call, refused, holder, result.IsRefusedForQueue);
            }
        }
        catch (Exception unavailable) when (IsUnavailability(unavailable, stop))
        {
            return _refusals.RescheduleUnavailable(call, requests[0], unavailable);
        }
    }

    /// <summary>
    /// Enqueues the run, and then requests its locks once more: a holder that released a lock before the run was enqueued did not wake the run.
    /// </summary>
    private async ValueTask<Admission> QueueAsync(
        JobCall call, Holder run, IReadOnlyList<RuleRequest> requests, RuleRequest request, RunAddress address, bool wasCalled, bool blocks, CancellationToken stop)
    {
        using var inWorker = new WaitInWorker(locks, call, wasCalled, log);
        var lockRequests = requests.Select(static ruleRequest => ruleRequest.Lock).ToArray();
        // The smallest limit of all rules of the run applies, whichever lock the run waits for.
        var atMost = requests.Min(static ruleRequest => ruleRequest.Rule.Wait.AtMost);
        var tries = 1;
        // Each round queues the run for the lock that was refused last. After as many rounds as locks, the run stays where it is. Repeated rounds do not count.
        for (var round = 1; ; round++)
        {
            var enqueued = await _queueing.EnqueueAsync(call, address, request, atMost, blocks, stop).ConfigureAwait(false);
            if (enqueued.Entry is not { } entry) return _refusals.RefuseFullQueue(call, request, enqueued);
            if (entry.SkipReason is { } skipReason) return await RefuseReplacedAsync(call, request, entry, skipReason, blocks).ConfigureAwait(false);

            inWorker.Watch(request, entry, enqueued.Ahead);
            var result = await locks.TryAcquireAllAsync(lockRequests, run, entry, blocks, stop).ConfigureAwait(false);
            if (result.Refused is null) return await AdmitAsync(call, requests, result, entry, blocks, inWorker).ConfigureAwait(false);

            var refused = RequestFor(result.Refused, requests);
            var staysInQueue = refused.Key == request.Key || round > requests.Count;
            if (refused.Key == request.Key && !entry.IsOverdue && await inWorker.UntilWokenAsync(request, entry, address, blocks, stop).ConfigureAwait(false) is { } woken)
            {
                if (await EnterWokenAsync(call, run, requests, request, woken, inWorker, blocks).ConfigureAwait(false) is { } decided) return decided;

                round--;
                continue;
            }

            if (result.IsRefusedForQueue && (staysInQueue ? entry.IsOverdue : refused.Rule.OnConflict is OnConflict.Skip or OnConflict.Fail))
            {
                // The run would be skipped or failed because of the runs that wait ahead of it. So their job stores are asked first.
                var check = await _queueing.CheckWaitersAsync(refused, blocks, stop).ConfigureAwait(false);
                if (check == WaiterCheckResult.SomeRemoved && tries++ < MostTries)
                {
                    round--;
                    continue;
                }

                if (check != WaiterCheckResult.AllExist)
                {
                    await _queueing.DequeueAndWakeNextAsync(call, request, entry, blocks).ConfigureAwait(false);
                    return _refusals.RescheduleUnconfirmed(call, refused);
                }
            }

            if (staysInQueue)
            {
                // A run that waited in its worker when the shutdown began is parked.
                var holder = result.IsRefusedForQueue || stop.IsCancellationRequested ? null : await locks.FindHolderAsync(result.Refused, blocks, stop).ConfigureAwait(false);
                return entry.IsOverdue
                    ? await GiveUpAsync(call, request, entry, atMost!.Value, Refusals.Conflict(request, holder, result.IsRefusedForQueue), blocks).ConfigureAwait(false)
                    : Wait(call, request, entry, address, atMost, enqueued.Ahead, holder);
            }

            // The run lacks another of its locks. It waits for that one instead, unless the rule of that lock says otherwise.
            if (refused.Rule.OnConflict != OnConflict.Wait) return await LeaveQueueAsync(call, request, entry, refused, result, blocks, stop).ConfigureAwait(false);

            request = refused;
        }
    }

    private async ValueTask<Admission.Refused> LeaveQueueAsync(
        JobCall call, RuleRequest request, QueueEntry entry, RuleRequest refused, AcquireResult result, bool blocks, CancellationToken stop)
    {
        await _queueing.DequeueAndWakeNextAsync(call, request, entry, blocks).ConfigureAwait(false);
        return _refusals.Refuse(call, refused, await locks.FindHolderAsync(refused.Lock, blocks, stop).ConfigureAwait(false), result.IsRefusedForQueue);
    }

    /// <summary>Requests the locks of a run that was woken in its worker; null where another holder was faster, and the run waits again.</summary>
    private async ValueTask<Admission?> EnterWokenAsync(
        JobCall call, Holder run, IReadOnlyList<RuleRequest> requests, RuleRequest request, QueueEntry woken, WaitInWorker inWorker, bool blocks)
    {
        if (woken.SkipReason is { } skipReason) return await RefuseReplacedAsync(call, request, woken, skipReason, blocks).ConfigureAwait(false);

        // Not cancelled by a shutdown: the wake of this run would be lost, and the lock would stay free.
        var result = await locks.TryAcquireAllAsync([.. requests.Select(static ruleRequest => ruleRequest.Lock)], run, woken, blocks, CancellationToken.None).ConfigureAwait(false);
        if (result.Refused is null) return await AdmitAsync(call, requests, result, woken, blocks, inWorker).ConfigureAwait(false);

        // The release was signalled to this run, but another run precedes it.
        if (result.IsRefusedForQueue) locks.WaitQueue.WakeNext(woken.Key);
        return null;
    }

    private async ValueTask<Admission.Admitted> AdmitAsync(JobCall call, IReadOnlyList<RuleRequest> requests, AcquireResult result, QueueEntry? entry, bool blocks, WaitInWorker? inWorker = null)
    {
        inWorker?.TakeSignals();
        try
        {
            await _queueing.DequeueAdmittedAsync(call, requests[0], entry, blocks).ConfigureAwait(false);
            if (log.IsEnabled(LogLevel.Debug))
            {
                foreach (var request in requests) log.Admitted(call.ShownId, request.ShownName, request.Key.Value);
            }

            return new(result.Handles) { FormerEntry = entry, HasWaitedInWorker = inWorker?.HasWaited == true };
        }
        catch (Exception)
        {
            // For example, a logger threw. The run is rescheduled, and must find its locks free.
            foreach (var handle in result.Handles) await handle.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    private Admission.Waits Wait(JobCall call, RuleRequest request, QueueEntry entry, RunAddress address, TimeSpan? atMost, int ahead, Holder? holder)
    {
        var heldBy = holder is null ? "" : $", held by {holder}";
        var reason = $"{WaitReason}{request.ShownName}{heldBy}, position {ahead + 1}";
        log.Waits(call.ShownId, request.ShownName, request.Key.Value, reason);
        return new(entry, address, reason, Queueing.UnwokenStartFor(atMost)) { Position = ahead + 1 };
    }

    /// <summary>The run has reached its longest wait.</summary>
    private async ValueTask<Admission> GiveUpAsync(JobCall call, RuleRequest request, QueueEntry entry, TimeSpan atMost, string conflict, bool blocks)
    {
        await _queueing.DequeueAndWakeNextAsync(call, request, entry, blocks).ConfigureAwait(false);
        var reason = $"it waited for {atMost.TotalSeconds:0} s, as long as it may; {conflict}";
        return _refusals.WasStartedBefore(call) ? _refusals.RescheduleStarted(call, request, reason) : _refusals.Refused(call, request, OnConflict.Fail, $"Failed: {reason}");
    }

    /// <summary>Refuses a run that a newer run has replaced in the queue.</summary>
    private async ValueTask<Admission> RefuseReplacedAsync(JobCall call, RuleRequest request, QueueEntry entry, string skipReason, bool blocks)
    {
        await _queueing.DequeueAndWakeNextAsync(call, request, entry, blocks).ConfigureAwait(false);
        // The text comes from a table, so it may contain anything.
        skipReason = DisplayText.Message(skipReason);
        return _refusals.WasStartedBefore(call) ? _refusals.RescheduleStarted(call, request, skipReason) : _refusals.Refused(call, request, OnConflict.Skip, skipReason);
    }

    private static RuleRequest RequestFor(LockRequest refused, IReadOnlyList<RuleRequest> requests) => requests.First(request => request.Key == refused.Key);

    private static bool IsUnavailability(Exception thrown, CancellationToken stop) => thrown is not JobLockRuleException && !stop.IsCancellationRequested;
}
