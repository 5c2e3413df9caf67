using JobLocks.Rules;

namespace JobLocks.Quartz;

/// <summary>Lets one run at a time through for each lock name, whatever node or scheduler it runs on.</summary>
/// <remarks>
/// <para>
/// It works where the scheduler was told to: <c>AddQuartz(quartz => quartz.UseJobLocks())</c>, or <c>scheduler.UseJobLocks(locks)</c>.
/// Quartz reads no attributes of others, so without that line this one does nothing.
/// </para>
/// <para>
/// The lock is a PostgreSQL advisory lock: taken before the job is told to run, given back when the run is over, however it ends.
/// It is gone when its process dies, and it never expires while the run lasts. An immediate refire keeps it.
/// </para>
/// <para>A run whose lock is lost with its connection is interrupted at once: give the job's token to all that it calls.</para>
/// <para>Several on one job mean: all of these locks or none. Those of base classes and interfaces count too.</para>
/// </remarks>
/// <example><code>
/// [JobLock("sync({clientId})", OnConflict = OnConflict.Skip)]
/// public sealed class ClientSyncJob : IJob { ... context.MergedJobDataMap["clientId"] ... }
/// </code></example>
[AttributeUsage(AttributeTargets.Class | AttributeTargets.Interface, AllowMultiple = true, Inherited = true)]
public sealed class JobLockAttribute : Attribute
{
    private readonly string? _name;
    private readonly bool _hasName;

    /// <summary>Locks on the job's type and all of its data, such as <c>Acme.ClientSyncJob(clientId:4)</c>.</summary>
    public JobLockAttribute()
    {
    }

    /// <summary>Locks on this name.</summary>
    /// <param name="name">
    /// <c>{clientId}</c> is an entry of the job's or the trigger's data, <c>{input.Tenant}</c> a property of the input of an
    /// <c>IJob&lt;TInput&gt;</c>, <c>{day:yyyy-MM-dd}</c> a format, <c>{{</c> a brace. Checked when the scheduler starts.
    /// </param>
    public JobLockAttribute(string name)
    {
        _name = name;
        _hasName = true;
    }

    /// <summary>What happens to a run that meets a lock somebody else holds.</summary>
    /// <value>
    /// Default <see cref="JobLocks.OnConflict.Reschedule"/>. A run that was started before (a recovery, a retry) is always rescheduled.
    /// </value>
    public OnConflict OnConflict { get; set; }

    /// <summary>For <see cref="JobLocks.OnConflict.Reschedule"/>: seconds until the next try.</summary>
    /// <value>Default 15. At least 1.</value>
    public int RetryAfterSeconds { get; set; } = LockDeclaration.DefaultRetryAfterSeconds;

    internal LockDeclaration Declaration => new(_name, OnConflict, RetryAfterSeconds) { HasName = _hasName };
}
