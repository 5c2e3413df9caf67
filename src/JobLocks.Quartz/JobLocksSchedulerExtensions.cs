using JobLocks.Gate;
using JobLocks.Quartz.Entering;
using JobLocks.Quartz.Waiting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Quartz;

namespace JobLocks.Quartz;

/// <summary>Lets the jobs of a scheduler that exists already carry <see cref="JobLockAttribute"/> and <c>WithJobLock</c>.</summary>
public static class JobLocksSchedulerExtensions
{
    /// <summary>Uses these locks from now on. Call it before the scheduler is started.</summary>
    /// <param name="scheduler">The scheduler.</param>
    /// <param name="locks">Stay the caller's to dispose, after the scheduler has shut down.</param>
    /// <returns><paramref name="scheduler"/>. A second call changes nothing.</returns>
    /// <exception cref="ArgumentException"><paramref name="locks"/> are none of this library's.</exception>
    /// <remarks>
    /// A scheduler takes middleware, plugins and a job store only while it is built. Without them, a run that waits or is rescheduled is vetoed and run
    /// later by a trigger of ours: what hangs on its outcome (continuations, overlap policies, listeners of its trigger) takes the veto for its end.
    /// A job with <c>[PersistJobDataAfterExecution]</c> needs <c>[DisallowConcurrentExecution]</c> too, or it fails. <see cref="JobLockHandle.Current"/>
    /// is null in a job (its token is cancelled all the same when the lock is lost), a rule that cannot work shows when the job is added (in the log) and
    /// when it should run (it fails), and a run that is refused while the scheduler shuts down is dropped. Where that matters, build the
    /// scheduler with <see cref="JobLocksQuartzBuilderExtensions.UseJobLocks(IQuartzBuilder, IJobLocks)"/>.
    /// </remarks>
    public static IScheduler UseJobLocks(this IScheduler scheduler, IJobLocks locks)
    {
        ArgumentNullException.ThrowIfNull(scheduler);

        var loggers = (locks as AdvisoryLocks)?.Loggers ?? NullLoggerFactory.Instance;
        var gate = JobGate.To(locks, loggers);
        var listeners = scheduler.ListenerManager;
        // One with the same name would replace the first and forget what that one holds.
        if (listeners.GetTriggerListener(JobLockListener.Name) is JobLockListener) return scheduler;

        var log = loggers.CreateLogger<JobLockListener>();
        var running = new RunningLocks();
        var listener = new JobLockListener(gate, running, log, RunsOf, new VetoedRuns(new(gate, running, log), gate, log));
        // Those that release come first.
        listeners.AddSchedulerListener(listener);
        listeners.AddJobListener(listener);
        listeners.AddTriggerListener(listener);
        return scheduler;

        QuartzRuns RunsOf(IScheduler started)
        {
            var triggers = new SchedulerTriggers(started);
            return new(triggers, new MarkedStore(triggers), started.TimeProvider, new AdoJobStoreOptions().MisfireThreshold, log);
        }
    }
}
