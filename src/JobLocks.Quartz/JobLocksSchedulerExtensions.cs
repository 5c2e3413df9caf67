using JobLocks.Gate;
using JobLocks.Quartz.Entering;
using JobLocks.Quartz.Waiting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Quartz;

namespace JobLocks.Quartz;

/// <summary>Connects an existing scheduler to the locks of <see cref="JobLockAttribute"/> and <c>WithJobLock</c>.</summary>
public static class JobLocksSchedulerExtensions
{
    /// <summary>Uses the given locks. Call this method before the scheduler is started.</summary>
    /// <param name="scheduler">The scheduler.</param>
    /// <param name="locks">Created by <see cref="AdvisoryLocks"/>. The caller disposes them, after the scheduler has shut down.</param>
    /// <returns><paramref name="scheduler"/>. A second call changes nothing.</returns>
    /// <exception cref="ArgumentException"><paramref name="locks"/> was not created by <see cref="AdvisoryLocks"/>.</exception>
    /// <remarks>
    /// <para>
    /// Middleware, plugins and a job store can be added to a scheduler only while it is built. Without them, this method works with listeners: a run that waits
    /// or is rescheduled is vetoed, and an additional trigger runs it later. This has limits:
    /// </para>
    /// <list type="bullet">
    /// <item><description>Continuations, overlap policies and the listeners of the run's trigger treat the veto as the end of the run.</description></item>
    /// <item><description>A job with <c>[PersistJobDataAfterExecution]</c> also needs <c>[DisallowConcurrentExecution]</c>; without it, its runs
    /// fail.</description></item>
    /// <item><description><see cref="JobLockHandle.Current"/> is null in a job. The job's token is still cancelled when the lock is lost.</description></item>
    /// <item><description>An invalid rule is logged when the job is added, and its runs fail.</description></item>
    /// <item><description>A run that is refused while the scheduler shuts down is lost.</description></item>
    /// </list>
    /// <para>
    /// To avoid these limits, build the scheduler with <see cref="JobLocksQuartzBuilderExtensions.UseJobLocks(IQuartzBuilder, IJobLocks)"/>.
    /// </para>
    /// </remarks>
    public static IScheduler UseJobLocks(this IScheduler scheduler, IJobLocks locks)
    {
        ArgumentNullException.ThrowIfNull(scheduler);

        var loggers = (locks as AdvisoryLocks)?.Loggers ?? NullLoggerFactory.Instance;
        var gate = JobGate.To(locks, loggers);
        var listeners = scheduler.ListenerManager;
        // A second listener with the same name would replace the first one, and the locks that the first one holds would never be released.
        if (listeners.GetTriggerListener(JobLockListener.Name) is JobLockListener) return scheduler;

        var log = loggers.CreateLogger<JobLockListener>();
        var decisions = new FiringDecisions();
        var listener = new JobLockListener(gate, decisions, log, RunsOf, new VetoedRuns(new(gate, decisions, log), gate, log));
        // The listeners that release locks are added first.
        listeners.AddSchedulerListener(listener);
        listeners.AddJobListener(listener);
        listeners.AddTriggerListener(listener);
        return scheduler;

        QuartzRuns RunsOf(IScheduler started)
        {
            var triggers = new SchedulerTriggers(started);
            return new(triggers, new StoreIdInJob(triggers), started.TimeProvider, new AdoJobStoreOptions().MisfireThreshold, log);
        }
    }
}
