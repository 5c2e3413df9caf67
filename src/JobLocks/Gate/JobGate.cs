using JobLocks.Diagnostics;
using JobLocks.Inspection;
using JobLocks.Locks;
using JobLocks.Primitives;
using JobLocks.WaitQueue;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace JobLocks.Gate;

/// <summary>Where a run asks to enter. The only place that decides. Thread-safe.</summary>
internal sealed class JobGate(ILockKeeper locks, ILogger<JobGate> log)
{
    /// <summary>What the reason of a run that waits begins with: the stores know it by that.</summary>
    public const string WaitReason = "Waiting for ";

    /// <summary>What the reason of a run begins with that was put off: if it stood in the line, it stands there still.</summary>
    public const string PutOffReason = "Rescheduled";

    // Where runs that stood before this one were gone, or the holder was.
    private const int MostTries = 4;

    private readonly Queueing _queueing = new(locks, log);
    private readonly SelfWaits _ownJobs = new(log);
    private readonly LogThrottle _unavailable = new();

    /// <summary>For those who carry out what is decided here.</summary>
    public ILoggerFactory Loggers { get; private init; } = NullLoggerFactory.Instance;

    /// <summary>Whether the locks were disposed: it lets no run through any more.</summary>
    public bool IsClosed => locks.IsClosed;

    /// <summary>Looks at the locks, for a dashboard.</summary>
    public IPageInspector Inspection => locks.Inspection;

    /// <summary>The gate to locks that were made without a container.</summary>
    /// <exception cref="ArgumentException">The locks are none of ours.</exception>
    public static JobGate To(IJobLocks locks, ILoggerFactory? loggers = null)
    {
        ArgumentNullException.ThrowIfNull(locks);

        return locks is ILockKeeper keeper
            ? new(keeper, (loggers ?? NullLoggerFactory.Instance).CreateLogger<JobGate>()) { Loggers = loggers ?? NullLoggerFactory.Instance }
            : throw new ArgumentException($"A {locks.GetType().Name} cannot lock runs. Use {nameof(AdvisoryLocks)}.{nameof(AdvisoryLocks.Connect)}(connectionString).", nameof(locks));
    }

    /// <summary>Has runs of a store woken from this process.</summary>
    public void Serve(IRunStore store) => locks.WaitQueue.Serve(store);

    /// <summary>Leaves the runs of a store to other processes.</summary>
    public void Forget(IRunStore store) => locks.WaitQueue.Forget(store);

    /// <summary>Takes all locks of a run or none of them.</summary>
    /// <exception cref="JobLockRuleException">A lock name cannot be made for this run: it must fail, never run.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="stop"/> was cancelled. Nothing is held.</exception>
    public Task<Admission> TryEnterAsync(JobCall call, CancellationToken stop) => EnterAsync(call, blocks: false, stop).AsTask();

    /// <summary>The same for a scheduler without an asynchronous way: needs no thread but the caller's and the session's.</summary>
    /// <exception cref="JobLockRuleException">A lock name cannot be made for this run: it must fail, never run.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="stop"/> was cancelled. Nothing is held.</exception>
    public Admission TryEnter(JobCall call, CancellationToken stop) => Blocking.Wait(EnterAsync(call, blocks: true, stop).AsTask());

    /// <summary>A job was made, perhaps by a run that has the lock which the job needs.</summary>
    /// <param name="made">The job; asked for only inside of such a run.</param>
    public void Made(Func<JobCall?> made)
    {
        if (JobLockHandle.Current is { IsReleased: false } handle && made() is { } call) _ownJobs.Made(handle, call, locks.Scope);
    }

    /// <summary>The store of a run that waits keeps it now.</summary>
    /// <exception cref="Npgsql.NpgsqlException">The line cannot be told; a sweep finds it out.</exception>
    public Task ParkedAsync(QueueEntry place) => locks.WaitQueue.ParkAsync(place, blocks: false, CancellationToken.None).AsTask();

    /// <inheritdoc cref="ParkedAsync"/>
    public void Parked(QueueEntry place) => Blocking.Wait(locks.WaitQueue.ParkAsync(place, blocks: true, CancellationToken.None).AsTask());

    /// <summary>
    /// The answer for a run whose scheduler did not wait for its locks: it waits again, at the position that it left. Release the locks when it is parked, and it is woken.
    /// </summary>
    /// <returns>Null where it had no position.</returns>
    public Admission.Waits? WaitAgain(JobCall call, Admission.Admitted late) => Queueing.WaitAgain(call, RuleRequest.AllOf(call, locks.Scope), late);

    private async ValueTask<Admission> EnterAsync(JobCall call, bool blocks, CancellationToken stop)
    {
        var requests = RuleRequest.AllOf(call, locks.Scope);
        var since = LockMeter.Now;
        Admission admission;
        using (var take = locks.Traces.Begin(call.Traced, requests[0].Label))
        {
            admission = await DecideAsync(call, requests, blocks, stop).ConfigureAwait(false);
            LockTraces.Answered(take, admission.Outcome, admission.Error);
        }

        locks.Meter.Answered(call.Scheduler, requests[0].Label, admission.Outcome, since);
        if (admission is Admission.Admitted { Left: { } left })
        {
            locks.Meter.Waited(call.Scheduler, requests[0].Label, left.Since);
            locks.Traces.Waited(call.Traced, requests[0].Label, left.Since);
        }

        return admission;
    }

    private async ValueTask<Admission> DecideAsync(JobCall call, IReadOnlyList<RuleRequest> requests, bool blocks, CancellationToken stop)
    {
        var lockRequests = requests.Select(static request => request.Lock).ToArray();
        var run = new Holder { Run = RunOf(call), Store = call.Store() };
        try
        {
            var place = await _queueing.FindAsync(call, blocks, stop).ConfigureAwait(false);
            if (place?.Verdict is { } verdict) return await DropAsync(call, requests[0], place, verdict, blocks).ConfigureAwait(false);

            for (var tries = 1; ; tries++)
            {
                var taken = await locks.TryTakeAllAsync(lockRequests, run, place, blocks, stop).ConfigureAwait(false);
                if (taken.Refused is null) return await AdmitAsync(call, requests, taken, place, blocks).ConfigureAwait(false);

                var refused = RequestFor(taken.Refused, requests);
                if (await _queueing.AddressOfAsync(call, refused, isNewcomer: place is null, blocks, stop).ConfigureAwait(false) is { } address)
                    return await QueueAsync(call, run, requests, refused, address, blocks, stop).ConfigureAwait(false);

                if (taken.IsBehind && refused.Rule.OnConflict is OnConflict.Skip or OnConflict.Fail)
                {
                    var said = await _queueing.CheckWaitersAsync(refused, blocks, stop).ConfigureAwait(false);
                    if (said == WaiterCheckResult.SomeWereGone && tries < MostTries) continue;
                    if (said != WaiterCheckResult.AllAreThere) return Postpone(call, refused);
                }

                var holder = taken.IsBehind ? null : await locks.FindHolderAsync(taken.Refused, blocks, stop).ConfigureAwait(false);
                if (holder is not null || taken.IsBehind || tries > 1) return Refuse(call, refused, holder, taken.IsBehind);
            }
        }
        catch (Exception unavailable) when (IsNoAnswer(unavailable, stop))
        {
            return Keep(call, requests[0], unavailable);
        }
    }

    /// <summary>The run stands in the line, and looks at its locks once more: who let go before that could not know of it.</summary>
    private async ValueTask<Admission> QueueAsync(
        JobCall call, Holder run, IReadOnlyList<RuleRequest> requests, RuleRequest request, RunAddress address, bool blocks, CancellationToken stop)
    {
        var lockRequests = requests.Select(static wanted => wanted.Lock).ToArray();
        // A run waits for so long, whichever of its locks it lacks.
        var atMost = requests.Min(static wanted => wanted.Rule.Wait.AtMost);
        var tries = 1;
        for (var turn = 1; ; turn++)
        {
            var standing = await _queueing.EnqueueAsync(call, address, request, atMost, blocks, stop).ConfigureAwait(false);
            if (standing.Place is not { } place) return RefusePlace(call, request, standing);
            if (place.Verdict is { } verdict) return await DropAsync(call, request, place, verdict, blocks).ConfigureAwait(false);

            var taken = await locks.TryTakeAllAsync(lockRequests, run, place, blocks, stop).ConfigureAwait(false);
            if (taken.Refused is null) return await AdmitAsync(call, requests, taken, place, blocks).ConfigureAwait(false);

            var refused = RequestFor(taken.Refused, requests);
            var waits = refused.Key == request.Key || turn > requests.Count;
            if (taken.IsBehind && (waits ? place.IsOverdue : refused.Rule.OnConflict is OnConflict.Skip or OnConflict.Fail))
            {
                // It would be dropped because of the runs that wait before it.
                var said = await _queueing.CheckWaitersAsync(refused, blocks, stop).ConfigureAwait(false);
                if (said == WaiterCheckResult.SomeWereGone && tries++ < MostTries)
                {
                    turn--;
                    continue;
                }

                if (said != WaiterCheckResult.AllAreThere)
                {
                    await _queueing.StepBackAsync(call, request, place, blocks).ConfigureAwait(false);
                    return Postpone(call, refused);
                }
            }

            if (waits)
            {
                var holder = taken.IsBehind ? null : await locks.FindHolderAsync(taken.Refused, blocks, stop).ConfigureAwait(false);
                return place.IsOverdue
                    ? await GiveUpAsync(call, request, place, atMost!.Value, Conflict(request, holder, taken.IsBehind), blocks).ConfigureAwait(false)
                    : Wait(call, request, place, address, atMost, standing.Ahead, holder);
            }

            // It lacks another of its locks, and waits for that one, unless its rule says otherwise.
            if (refused.Rule.OnConflict != OnConflict.Wait)
            {
                await _queueing.StepBackAsync(call, request, place, blocks).ConfigureAwait(false);
                return Refuse(call, refused, await locks.FindHolderAsync(taken.Refused, blocks, stop).ConfigureAwait(false), taken.IsBehind);
            }

            request = refused;
        }
    }

    private async ValueTask<Admission> AdmitAsync(JobCall call, IReadOnlyList<RuleRequest> requests, AcquireResult taken, QueueEntry? place, bool blocks)
    {
        if (place is not null) await _queueing.LeaveAsync(call, requests[0], place, blocks).ConfigureAwait(false);
        if (log.IsEnabled(LogLevel.Debug))
        {
            foreach (var request in requests) log.Admitted(call.ShownId, request.ShownName, request.Key.Value);
        }

        return new Admission.Admitted(taken.Handles) { Left = place };
    }

    private Admission.Waits Wait(JobCall call, RuleRequest request, QueueEntry place, RunAddress address, TimeSpan? atMost, int ahead, Holder? holder)
    {
        var by = holder is null ? "" : $", held by {holder}";
        var reason = $"{WaitReason}{request.ShownName}{by}, place {ahead + 1}";
        log.Waits(call.ShownId, request.ShownName, request.Key.Value, reason);
        return new(place, address, reason, Queueing.DueAfter(atMost)) { Position = ahead + 1 };
    }

    /// <summary>It has waited for as long as it may.</summary>
    private async ValueTask<Admission> GiveUpAsync(JobCall call, RuleRequest request, QueueEntry place, TimeSpan atMost, string conflict, bool blocks)
    {
        await _queueing.StepBackAsync(call, request, place, blocks).ConfigureAwait(false);
        var waited = $"it waited for {atMost.TotalSeconds:0} s, as long as it may; {conflict}";
        return WasStartedBefore(call) ? Owe(call, request, waited) : Refused(call, request, OnConflict.Fail, $"Failed: {waited}");
    }

    /// <summary>What was decided about it while it waited.</summary>
    private async ValueTask<Admission> DropAsync(JobCall call, RuleRequest request, QueueEntry place, string verdict, bool blocks)
    {
        await _queueing.StepBackAsync(call, request, place, blocks).ConfigureAwait(false);
        // It was read from a table.
        verdict = DisplayText.Message(verdict);
        return WasStartedBefore(call) ? Owe(call, request, verdict) : Refused(call, request, OnConflict.Skip, verdict);
    }

    /// <summary>Work that has begun once is owed.</summary>
    private Admission.Refused Owe(JobCall call, RuleRequest request, string conflict) =>
        Refused(call, request, OnConflict.Reschedule, $"Rescheduled, since it had been started before: {conflict}{NextTry(request)}");

    /// <summary>The line takes no more.</summary>
    private Admission.Refused RefusePlace(JobCall call, RuleRequest request, EnqueueResult full)
    {
        var length = full.Ahead;
        var waiting = $"{length} {(length == 1 ? "run waits" : "runs wait")} for {request.ShownName} already";
        return request.Rule.Wait.Keep is var keep and > 0 && length >= keep && full.IsVouchedFor && !WasStartedBefore(call)
            ? Refused(call, request, OnConflict.Skip, $"Skipped: {waiting}, and its rule keeps {keep}")
            : Refused(call, request, OnConflict.Reschedule, $"Rescheduled: {waiting}, as many as may{NextTry(request)}");
    }

    /// <summary>The stores of the runs that stand before it gave no answer, so it is rescheduled and not dropped.</summary>
    private Admission.Refused Postpone(JobCall call, RuleRequest request) =>
        Refused(call, request, OnConflict.Reschedule, $"Rescheduled: {Conflict(request, holder: null, isBehind: true)}, and their store cannot be asked here{NextTry(request)}");

    private Admission.Refused Refuse(JobCall call, RuleRequest request, Holder? holder, bool isBehind)
    {
        var conflict = Conflict(request, holder, isBehind);
        // A rule that has its runs wait is carried out so where they cannot.
        var what = request.Rule.OnConflict == OnConflict.Wait ? OnConflict.Reschedule : request.Rule.OnConflict;

        // Work that has begun once is owed: ending it now would drop it, or abort the very run that it is a second copy of.
        // Where nobody holds the lock any more, perhaps nobody ran: the holder may have been asking for it in vain itself.
        var nobody = holder is null && !isBehind;
        var owed = what != OnConflict.Reschedule && (nobody || string.Equals(holder?.Run, RunOf(call), StringComparison.Ordinal) || WasStartedBefore(call));
        if (owed) what = OnConflict.Reschedule;

        return Refused(call, request, what, what switch
        {
            OnConflict.Skip => $"Skipped: {conflict}",
            OnConflict.Fail => $"Failed: {conflict}",
            _ when owed && !nobody => $"Rescheduled, since it had been started before: {conflict}{NextTry(request)}",
            _ => $"Rescheduled: {conflict}{NextTry(request)}",
        });
    }

    /// <summary>No lock, no run; and no answer is no reason to drop the run.</summary>
    private Admission.Refused Keep(JobCall call, RuleRequest request, Exception unavailable)
    {
        var cause = DisplayText.Message(locks.CauseOf(unavailable));
        if (_unavailable.IsTime()) log.Unavailable(call.ShownId, request.ShownName, LogThrottle.Pause.TotalSeconds, unavailable);
        else log.AlsoUnavailable(call.ShownId, request.ShownName, cause);
        return new(
            OnConflict.Reschedule,
            $"Rescheduled: {request.ShownName} could not be asked for. {cause} Next try in {request.Rule.RetryAfter.TotalSeconds:0} s",
            request.Rule.RetryAfter)
        {
            IsUnavailable = true,
        };
    }

    private Admission.Refused Refused(JobCall call, RuleRequest request, OnConflict what, string reason)
    {
        log.Refused(call.ShownId, request.ShownName, request.Key.Value, reason);
        locks.Ledger.Refused(request.Key, request.Name);
        return new(what, reason, request.Rule.RetryAfter);
    }

    /// <summary>A store that gives no answer counts as a yes: a run that is put off is not lost.</summary>
    private bool WasStartedBefore(JobCall call)
    {
        try
        {
            return call.WasStartedBefore();
        }
        catch (Exception unknown)
        {
            log.UnknownPast(call.ShownId, unknown);
            return true;
        }
    }

    private static string Conflict(RuleRequest request, Holder? holder, bool isBehind) => isBehind
        ? $"other runs wait for {request.ShownName}, and the first of them comes now"
        : $"{request.ShownName} is held by {holder?.ToString() ?? "another run, which has let go meanwhile"}";

    private static string NextTry(RuleRequest request) => $"; next try in {request.Rule.RetryAfter.TotalSeconds:0} s";

    private static RuleRequest RequestFor(LockRequest refused, IReadOnlyList<RuleRequest> requests) => requests.First(request => request.Key == refused.Key);

    private static bool IsNoAnswer(Exception thrown, CancellationToken stop) => thrown is not JobLockRuleException && !stop.IsCancellationRequested;

    private static string RunOf(JobCall call) => $"{call.Scheduler} job {call.JobId}";
}
