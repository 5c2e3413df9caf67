using JobLocks.Rules;
using Quartz;

namespace JobLocks.Quartz;

/// <summary>Declares locks without an attribute. The rule is stored in the data of the job or of the trigger.</summary>
/// <remarks>
/// A run acquires the locks of all rules: of its attributes, its job and its trigger. Several calls with different names on one builder add up.
/// Of two calls with the same name, the later one applies. JobLocks reserves the keys of a data map that begin with <c>JOBLOCKS_</c>.
/// </remarks>
public static class JobLockBuilderExtensions
{
    /// <summary>Declares a lock for all runs of the job.</summary>
    /// <typeparam name="TJob">The class of the job.</typeparam>
    /// <param name="job">The job that is being built.</param>
    /// <param name="name">
    /// The template of the lock name, as in <see cref="JobLockAttribute(string)"/>. Null builds the name from the job's type and all of its data.
    /// </param>
    /// <param name="onConflict">What happens to a run whose lock is held by another run.</param>
    /// <param name="retryAfterSeconds">For <see cref="OnConflict.Reschedule"/>: the time until the next try, in seconds. Minimum 1.</param>
    /// <param name="mode">Which other runs the lock excludes. A <see cref="LockMode.Shared"/> lock excludes only runs that acquire it exclusively.</param>
    /// <param name="limit">How many runs may hold the lock at the same time, on all nodes together. From 1 to 1,000.</param>
    /// <param name="waitAtMostSeconds">
    /// For <see cref="OnConflict.Wait"/>: the longest time that a run waits, in seconds; 0 for no limit. After that the run fails without executing, and the
    /// log says why.
    /// </param>
    /// <param name="keepWaiting">For <see cref="OnConflict.Wait"/>: how many runs may wait for one lock name; 0 for no limit. A further run is skipped.</param>
    /// <param name="keepNewest">For <paramref name="keepWaiting"/>: whether the oldest waiting run is skipped instead of the further run.</param>
    /// <returns><paramref name="job"/>.</returns>
    /// <exception cref="JobLockRuleException">The rule is invalid.</exception>
    public static JobBuilder<TJob> WithJobLock<TJob>(
        this JobBuilder<TJob> job,
        string? name = null,
        OnConflict onConflict = OnConflict.Wait,
        int retryAfterSeconds = LockDeclaration.DefaultRetryAfterSeconds,
        LockMode mode = LockMode.Exclusive,
        int limit = 1,
        int waitAtMostSeconds = 0,
        int keepWaiting = 0,
        bool keepNewest = false)
        where TJob : IJob
    {
        ArgumentNullException.ThrowIfNull(job);

        var (key, rule) = StoredRules.Entry(typeof(TJob), Declared(name, onConflict, retryAfterSeconds, mode, limit, waitAtMostSeconds, keepWaiting, keepNewest));
        return job.UsingJobData(key, rule);
    }

    /// <inheritdoc cref="WithJobLock{TJob}(JobBuilder{TJob}, string?, OnConflict, int, LockMode, int, int, int, bool)"/>
    public static IJobConfigurator<TJob> WithJobLock<TJob>(
        this IJobConfigurator<TJob> job,
        string? name = null,
        OnConflict onConflict = OnConflict.Wait,
        int retryAfterSeconds = LockDeclaration.DefaultRetryAfterSeconds,
        LockMode mode = LockMode.Exclusive,
        int limit = 1,
        int waitAtMostSeconds = 0,
        int keepWaiting = 0,
        bool keepNewest = false)
        where TJob : IJob
    {
        ArgumentNullException.ThrowIfNull(job);

        var (key, rule) = StoredRules.Entry(typeof(TJob), Declared(name, onConflict, retryAfterSeconds, mode, limit, waitAtMostSeconds, keepWaiting, keepNewest));
        return job.UsingJobData(key, rule);
    }

    /// <summary>Declares a lock for the runs of this trigger.</summary>
    /// <typeparam name="TJob">The class of the job.</typeparam>
    /// <param name="trigger">The trigger that is being built.</param>
    /// <param name="name">
    /// The template of the lock name, as in <see cref="JobLockAttribute(string)"/>. Null builds the name from the job's type and all of its data.
    /// </param>
    /// <param name="onConflict">What happens to a run whose lock is held by another run.</param>
    /// <param name="retryAfterSeconds">For <see cref="OnConflict.Reschedule"/>: the time until the next try, in seconds. Minimum 1.</param>
    /// <param name="mode">Which other runs the lock excludes. A <see cref="LockMode.Shared"/> lock excludes only runs that acquire it exclusively.</param>
    /// <param name="limit">How many runs may hold the lock at the same time, on all nodes together. From 1 to 1,000.</param>
    /// <param name="waitAtMostSeconds">
    /// For <see cref="OnConflict.Wait"/>: the longest time that a run waits, in seconds; 0 for no limit. After that the run fails without executing, and the
    /// log says why.
    /// </param>
    /// <param name="keepWaiting">For <see cref="OnConflict.Wait"/>: how many runs may wait for one lock name; 0 for no limit. A further run is skipped.</param>
    /// <param name="keepNewest">For <paramref name="keepWaiting"/>: whether the oldest waiting run is skipped instead of the further run.</param>
    /// <returns><paramref name="trigger"/>.</returns>
    /// <exception cref="JobLockRuleException">The rule is invalid.</exception>
    public static TriggerBuilder<TJob> WithJobLock<TJob>(
        this TriggerBuilder<TJob> trigger,
        string? name = null,
        OnConflict onConflict = OnConflict.Wait,
        int retryAfterSeconds = LockDeclaration.DefaultRetryAfterSeconds,
        LockMode mode = LockMode.Exclusive,
        int limit = 1,
        int waitAtMostSeconds = 0,
        int keepWaiting = 0,
        bool keepNewest = false)
        where TJob : IJob
    {
        ArgumentNullException.ThrowIfNull(trigger);

        var (key, rule) = StoredRules.Entry(typeof(TJob), Declared(name, onConflict, retryAfterSeconds, mode, limit, waitAtMostSeconds, keepWaiting, keepNewest));
        return trigger.UsingJobData(key, rule);
    }

    /// <inheritdoc cref="WithJobLock{TJob}(TriggerBuilder{TJob}, string?, OnConflict, int, LockMode, int, int, int, bool)"/>
    public static ITriggerConfigurator<TJob> WithJobLock<TJob>(
        this ITriggerConfigurator<TJob> trigger,
        string? name = null,
        OnConflict onConflict = OnConflict.Wait,
        int retryAfterSeconds = LockDeclaration.DefaultRetryAfterSeconds,
        LockMode mode = LockMode.Exclusive,
        int limit = 1,
        int waitAtMostSeconds = 0,
        int keepWaiting = 0,
        bool keepNewest = false)
        where TJob : IJob
    {
        ArgumentNullException.ThrowIfNull(trigger);

        var (key, rule) = StoredRules.Entry(typeof(TJob), Declared(name, onConflict, retryAfterSeconds, mode, limit, waitAtMostSeconds, keepWaiting, keepNewest));
        return trigger.UsingJobData(key, rule);
    }

    private static LockDeclaration Declared(
        string? name, OnConflict onConflict, int retryAfterSeconds, LockMode mode, int limit, int waitAtMostSeconds, int keepWaiting, bool keepNewest) =>
        new(name, onConflict, retryAfterSeconds)
        {
            IsAttribute = false,
            Mode = mode,
            Limit = limit,
            WaitAtMostSeconds = waitAtMostSeconds,
            KeepWaiting = keepWaiting,
            KeepNewest = keepNewest,
        };
}
