using JobLocks.Rules;
using Quartz;

namespace JobLocks.Quartz;

/// <summary>Locks for jobs that carry no attribute: the rule is kept in the data of the job or of the trigger.</summary>
/// <remarks>
/// All rules count together: attributes, those of the job and those of the trigger. Several calls with different names on one
/// builder add up; of two calls with the same name the later one counts. Entries of the data map whose keys begin with
/// <c>JOBLOCKS_</c> are ours.
/// </remarks>
public static class JobLockBuilderExtensions
{
    /// <summary>Puts all runs of the job under a lock.</summary>
    /// <typeparam name="TJob">The job's class.</typeparam>
    /// <param name="job">The job that is being built.</param>
    /// <param name="name">As in <see cref="JobLockAttribute(string)"/>; null locks on the job's type and all of its data.</param>
    /// <param name="onConflict">What happens to a run that meets a lock somebody else holds.</param>
    /// <param name="retryAfterSeconds">For <see cref="OnConflict.Reschedule"/>: seconds until the next try. At least 1.</param>
    /// <param name="mode">Whom the lock keeps out: with <see cref="LockMode.Shared"/>, only runs that take it exclusively.</param>
    /// <param name="limit">How many runs may have the lock at once, on all nodes together. From 1 to 1,000.</param>
    /// <param name="waitAtMostSeconds">For <see cref="OnConflict.Wait"/>: seconds until the run is dropped on the record; 0 for as long as it takes.</param>
    /// <param name="keepWaiting">For <see cref="OnConflict.Wait"/>: how many runs may wait under one name; 0 for all.</param>
    /// <param name="keepNewest">For <paramref name="keepWaiting"/>: whether the oldest run that waits is skipped instead of the further one.</param>
    /// <returns><paramref name="job"/>.</returns>
    /// <exception cref="JobLockRuleException">The rule cannot work.</exception>
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

    /// <summary>Puts the runs of this trigger under a lock.</summary>
    /// <typeparam name="TJob">The job's class.</typeparam>
    /// <param name="trigger">The trigger that is being built.</param>
    /// <param name="name">As in <see cref="JobLockAttribute(string)"/>; null locks on the job's type and all of its data.</param>
    /// <param name="onConflict">What happens to a run that meets a lock somebody else holds.</param>
    /// <param name="retryAfterSeconds">For <see cref="OnConflict.Reschedule"/>: seconds until the next try. At least 1.</param>
    /// <param name="mode">Whom the lock keeps out: with <see cref="LockMode.Shared"/>, only runs that take it exclusively.</param>
    /// <param name="limit">How many runs may have the lock at once, on all nodes together. From 1 to 1,000.</param>
    /// <param name="waitAtMostSeconds">For <see cref="OnConflict.Wait"/>: seconds until the run is dropped on the record; 0 for as long as it takes.</param>
    /// <param name="keepWaiting">For <see cref="OnConflict.Wait"/>: how many runs may wait under one name; 0 for all.</param>
    /// <param name="keepNewest">For <paramref name="keepWaiting"/>: whether the oldest run that waits is skipped instead of the further one.</param>
    /// <returns><paramref name="trigger"/>.</returns>
    /// <exception cref="JobLockRuleException">The rule cannot work.</exception>
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
