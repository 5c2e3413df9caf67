using JobLocks.Diagnostics;
using JobLocks.Primitives;
using JobLocks.WaitQueue;
using Microsoft.Extensions.Logging;

namespace JobLocks.Gate;

/// <summary>
/// The wait of one run in its worker, for a lock that is likely to be free before the job store could have parked the run and started it again. The run has its
/// queue entry, and is woken in the order of the queue; if that takes too long, it is parked. Not thread-safe.
/// </summary>
/// <param name="locks">The locks.</param>
/// <param name="call">The run.</param>
/// <param name="wasCalled">Whether the run was started so that it waits here, see <see cref="IWaitQueue.CallNext"/>.</param>
/// <param name="log">The log.</param>
internal sealed class WaitInWorker(ILockBackend locks, JobCall call, bool wasCalled, ILogger log) : IDisposable
{
    private readonly TimeSpan _until = BootClock.Now + locks.LongestWaitInWorker;
    private IDisposable? _worker;
    private WakeWatch? _watch;

    /// <summary>Whether the run has waited in its worker.</summary>
    public bool HasWaited { get; private set; }

    /// <summary>
    /// Watches for the wake of the run from now on, if it may wait in its worker: its wake is likely in time, and not too many workers wait. Call it
    /// before the lock is requested once more, so that no wake is missed.
    /// </summary>
    public void Watch(RuleRequest request, QueueEntry entry, int ahead)
    {
        _watch?.Dispose();
        _watch = null;
        _worker ??= IsWakeLikely(request, ahead) ? call.TryKeepWorker(locks.LargestWaitingShare) : null;
        if (_worker is not null) _watch = locks.WaitQueue.WatchWake(entry);
    }

    /// <summary>Waits until the run is woken.</summary>
    /// <param name="request">The lock.</param>
    /// <param name="entry">The entry of the run.</param>
    /// <param name="run">The address of the run.</param>
    /// <param name="blocks">Whether to block the calling thread instead of awaiting.</param>
    /// <param name="stop">Ends the wait: the run is to be parked.</param>
    /// <returns>The entry of the run, which may request its lock now; null where the run is to be parked.</returns>
    public async ValueTask<QueueEntry?> UntilWokenAsync(RuleRequest request, QueueEntry entry, RunAddress run, bool blocks, CancellationToken stop)
    {
        if (_watch is not null) log.WaitsInWorker(call.ShownId, request.ShownName, request.Key.Value);
        using var end = CancellationTokenSource.CreateLinkedTokenSource(stop, call.Stopping);
        HasWaited |= _watch is not null;
        while (_watch is not null && !end.IsCancellationRequested && _until - BootClock.Now is var left && left > TimeSpan.Zero)
        {
            switch (await _watch.NextAsync(left, blocks, end.Token).ConfigureAwait(false))
            {
                case WakeSignal.None:
                    return null;
                case WakeSignal.Woken:
                    return entry with { BypassesQueue = true, WokenAt = _watch.SignalledAt };
                case WakeSignal.Free:
                    return entry with { WokenAt = _watch.SignalledAt };
                case WakeSignal.ReadAgain when await locks.WaitQueue.FindAsync(run, blocks, CancellationToken.None).ConfigureAwait(false) is { } found:
                    if (found is { BypassesQueue: true } or { IsOverdue: true } or { SkipReason: not null }) return found with { Request = entry.Request };
                    break;
                default:
                    return null;
            }
        }

        return null;
    }

    /// <summary>Call it when the run has its lock: a signal that it has not taken must not wake another run.</summary>
    public void TakeSignals() => _watch?.Take();

    public void Dispose()
    {
        _watch?.Dispose();
        _worker?.Dispose();
    }

    /// <summary>The runs ahead of this one hold the lock one after the other. How long the present holder has held it is not known, so its whole hold counts.</summary>
    private bool IsWakeLikely(RuleRequest request, int ahead) =>
        locks.LongestWaitInWorker > TimeSpan.Zero
        && (wasCalled || (locks.UsualHolds.Find(request.Key) is { } usual && usual * (ahead + 1) / request.Lock.Limit <= locks.LongestWaitInWorker));
}
