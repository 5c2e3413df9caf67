namespace JobLocks;

/// <summary>A run that waits for a lock.</summary>
/// <param name="Key">The key of the lock name for which it waits.</param>
/// <param name="Name">The lock name.</param>
/// <param name="Position">
/// Its position in the queue, from 1. Runs of job stores that no process serves are not counted. For such a run, this is the position that it would
/// have if its store were served.
/// </param>
/// <param name="Mode">Which other holders the lock would exclude.</param>
/// <param name="Scheduler">The scheduler of the run: <c>Hangfire</c> or <c>Quartz</c>.</param>
/// <param name="Store">The id of the job store that keeps the run.</param>
/// <param name="Run">
/// The name of the run in that store. In Hangfire the id of the job and the time of its creation, as <c>17@2026-11-28T12:00:00.123Z</c>, and the id alone for
/// a storage in memory. In Quartz <c>group/name</c> of the held trigger, both percent-encoded; if a stand-in waits for the firing, the name of the stand-in,
/// whose group is <c>joblocks</c>.
/// </param>
/// <param name="Queue">The Hangfire queue in which the woken run is enqueued; empty for Quartz.</param>
/// <param name="Since">When the run began to wait.</param>
/// <param name="WokenAt">
/// When the run was woken. Null where it was not woken yet; where it is paused by hand; and where it was woken, did not start in time, and another run of its
/// scheduler queue reached a worker since. A woken run that does not start within half a minute is bypassed by other runs.
/// </param>
public sealed record QueuedRun(
    LockKey Key, string Name, long Position, LockMode Mode, string Scheduler, string Store, string Run, string Queue, DateTimeOffset Since, DateTimeOffset? WokenAt)
{
    /// <summary>The job of the run: in Hangfire its id, in Quartz its key. Null where the queue entry does not contain it.</summary>
    public string? Job { get; init; }

    /// <summary>Whether the run waits in its worker, or is on its way to one. It starts as soon as it is woken, without a detour through its job store.</summary>
    public bool IsAboutToStart { get; init; }

    /// <summary>
    /// Whether a running scheduler or Hangfire server serves the job store of the run. If none does (stopped, or in standby), all other runs bypass this run
    /// until one does.
    /// </summary>
    public bool IsServed { get; init; } = true;
}
