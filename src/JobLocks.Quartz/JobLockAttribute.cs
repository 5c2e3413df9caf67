using System.Runtime.Serialization;
using System.Text.Json.Serialization;
using JobLocks.Quartz.Entering;
using JobLocks.Rules;
using Quartz;

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
public sealed class JobLockAttribute : Attribute, IJsonOnDeserialized
{
    private string? _name;
    private bool _hasName;

    // Only while one is read from JSON.
    private bool _nameWasRead;

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

    /// <summary>The name of the lock as it was given; null for the job's type and its data.</summary>
    /// <remarks>Serializers write it even where it is null, and refuse to read an attribute without it: its lock would be another one.</remarks>
    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public string? Name
    {
        get => _hasName ? _name ?? "" : null;
        init
        {
            _name = value;
            _hasName = value is not null;
            _nameWasRead = true;
        }
    }

    /// <inheritdoc/>
    [IgnoreDataMember, JsonIgnore]
    public override object TypeId => base.TypeId;

    /// <summary>What happens to a run that meets a lock somebody else holds.</summary>
    /// <value>
    /// Default <see cref="JobLocks.OnConflict.Wait"/>. A run that was started before (a recovery, a retry) is never skipped and never failed: it is
    /// rescheduled.
    /// </value>
    public OnConflict OnConflict { get; set; }

    /// <summary>For <see cref="JobLocks.OnConflict.Wait"/>: how long a run waits. Then it is dropped, and the record says why.</summary>
    /// <value>In seconds; default 0: for as long as it takes.</value>
    public int WaitAtMostSeconds { get; set; }

    /// <summary>For <see cref="JobLocks.OnConflict.Wait"/>: how many runs may wait under one name. A further one is skipped, and the log says so.</summary>
    /// <value>Default 0: all. With 1, the one that waits will see the further one's change too.</value>
    public int KeepWaiting { get; set; }

    /// <summary>For <see cref="KeepWaiting"/>: whether the oldest run that waits is skipped instead, and the further one waits.</summary>
    /// <value>Default false.</value>
    public bool KeepNewest { get; set; }

    /// <summary>For <see cref="JobLocks.OnConflict.Reschedule"/>: seconds until the next try.</summary>
    /// <value>Default 15. At least 1.</value>
    public int RetryAfterSeconds { get; set; } = LockDeclaration.DefaultRetryAfterSeconds;

    /// <summary>Whom the lock keeps out: with <see cref="LockMode.Shared"/>, only runs that take it exclusively.</summary>
    /// <value>Default <see cref="LockMode.Exclusive"/>.</value>
    public LockMode Mode { get; set; }

    /// <summary>How many runs may have the lock at once, on all nodes together.</summary>
    /// <value>
    /// Default 1; from 1 to 1,000. All jobs of one lock name should say the same number: where they do not, up to the largest run at once,
    /// and a warning names both.
    /// </value>
    public int Limit { get; set; } = 1;

    /// <summary>Says which locks a firing would ask for, without a scheduler.</summary>
    /// <param name="job">The job, as it would be stored.</param>
    /// <param name="data">The data of the trigger, which come before those of the job; null for none.</param>
    /// <param name="scope">As <see cref="JobLocksOptions.Scope"/>; null for none.</param>
    /// <exception cref="JobLockRuleException">A rule cannot work for this firing.</exception>
    public static JobLockExplanation Explain(IJobDetail job, JobDataMap? data = null, string? scope = null)
    {
        ArgumentNullException.ThrowIfNull(job);

        return JobLockExplanation.Of(QuartzJobCall.Of(job, data ?? []), scope);
    }

    internal LockDeclaration Declaration => new(_name, OnConflict, RetryAfterSeconds)
    {
        HasName = _hasName,
        Mode = Mode,
        Limit = Limit,
        WaitAtMostSeconds = WaitAtMostSeconds,
        KeepWaiting = KeepWaiting,
        KeepNewest = KeepNewest,
    };

    [OnDeserialized]
    private void OnRead(StreamingContext context)
    {
        if (!_nameWasRead)
            throw new JobLockRuleException(
                "A [JobLock] attribute was read from JSON without its Name, so it would take another lock. "
                + "Add \"Name\": \"…\" to the JSON as the attribute was declared, or \"Name\": null where it was declared without a name.");

        _nameWasRead = false;
    }

    void IJsonOnDeserialized.OnDeserialized() => OnRead(default);
}
