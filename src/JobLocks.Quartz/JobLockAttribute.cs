using System.Runtime.Serialization;
using System.Text.Json.Serialization;
using JobLocks.Quartz.Entering;
using JobLocks.Rules;
using Quartz;

namespace JobLocks.Quartz;

/// <summary>Limits concurrent runs: by default, one run at a time executes for each lock name, on all nodes and schedulers together.</summary>
/// <remarks>
/// <para>
/// Requires <c>AddQuartz(quartz => quartz.UseJobLocks())</c> or <c>scheduler.UseJobLocks(locks)</c> for the scheduler.
/// Quartz itself does not read this attribute, so without that call it has no effect.
/// </para>
/// <para>
/// The lock is a PostgreSQL session-level advisory lock. It is acquired before the job executes, and released after the run, however the run ends.
/// The server releases it when the process dies. It never expires while the run lasts. An immediate refire keeps it.
/// </para>
/// <para>If the connection that holds the lock is lost, the run is interrupted at once. Pass the job's cancellation token to everything that it calls.</para>
/// <para>If several attributes apply to a job, a run acquires all of their locks or none. Attributes of base classes and interfaces apply too.</para>
/// </remarks>
/// <example><code>
/// [JobLock("sync({clientId})", OnConflict = OnConflict.Skip)]
/// public sealed class ClientSyncJob : IJob { ... context.MergedJobDataMap["clientId"] ... }
/// </code></example>
[AttributeUsage(AttributeTargets.Class | AttributeTargets.Interface, AllowMultiple = true, Inherited = true)]
public sealed class JobLockAttribute : Attribute, IJsonOnDeserialized
{
    private LockDeclaration _declaration = LockDeclaration.Default;

    /// <summary>Locks a name built from the job's type and all of its data, such as <c>Acme.ClientSyncJob(clientId:4)</c>.</summary>
    public JobLockAttribute()
    {
    }

    /// <summary>Locks a name built from the data of the run.</summary>
    /// <param name="name">
    /// The template of the lock name. <c>{clientId}</c> is an entry of the job's or the trigger's data, <c>{input.Tenant}</c> a property of the input of an
    /// <c>IJob&lt;TInput&gt;</c>, <c>{day:yyyy-MM-dd}</c> a format, <c>{{</c> a brace. The template is checked when the scheduler starts.
    /// </param>
    public JobLockAttribute(string name) => _declaration = _declaration with { Name = name, HasName = true };

    /// <summary>The template of the lock name, as declared. Null if the name is built from the job's type and its data.</summary>
    /// <remarks>
    /// Serializers write this property even if it is null. Reading an attribute without it fails, because the attribute would lock another name.
    /// </remarks>
    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public string? Name
    {
        get => _declaration.NameProperty;
        init => _declaration = _declaration.WithReadName(value);
    }

    /// <inheritdoc/>
    [IgnoreDataMember, JsonIgnore]
    public override object TypeId => base.TypeId;

    /// <summary>What happens to a run whose lock is held by another run.</summary>
    /// <value>
    /// Default <see cref="JobLocks.OnConflict.Wait"/>. A run that was started before (a recovery or a retry) is never skipped and never failed: it is
    /// rescheduled.
    /// </value>
    public OnConflict OnConflict { get => _declaration.OnConflict; set => _declaration = _declaration with { OnConflict = value }; }

    /// <summary>
    /// For <see cref="JobLocks.OnConflict.Wait"/>: the longest time that a run waits. After that the run fails without executing, and the log says why.
    /// </summary>
    /// <value>In seconds. Default 0: no limit.</value>
    public int WaitAtMostSeconds { get => _declaration.WaitAtMostSeconds; set => _declaration = _declaration with { WaitAtMostSeconds = value }; }

    /// <summary>For <see cref="JobLocks.OnConflict.Wait"/>: how many runs may wait for one lock name. A further run is skipped, and the log says so.</summary>
    /// <value>
    /// Default 0: no limit. With 1, a skipped run loses nothing: the run that waits starts later than the skipped run was due, so it processes the same data.
    /// </value>
    public int KeepWaiting { get => _declaration.KeepWaiting; set => _declaration = _declaration with { KeepWaiting = value }; }

    /// <summary>For <see cref="KeepWaiting"/>: whether a further run waits, and the oldest waiting run is skipped instead of it.</summary>
    /// <value>Default false.</value>
    public bool KeepNewest { get => _declaration.KeepNewest; set => _declaration = _declaration with { KeepNewest = value }; }

    /// <summary>For <see cref="JobLocks.OnConflict.Reschedule"/>: the time until the next try.</summary>
    /// <value>In seconds. Default 15, minimum 1.</value>
    public int RetryAfterSeconds { get => _declaration.RetryAfterSeconds; set => _declaration = _declaration with { RetryAfterSeconds = value }; }

    /// <summary>Which other runs the lock excludes. A <see cref="LockMode.Shared"/> lock excludes only runs that acquire it exclusively.</summary>
    /// <value>Default <see cref="LockMode.Exclusive"/>.</value>
    public LockMode Mode { get => _declaration.Mode; set => _declaration = _declaration with { Mode = value }; }

    /// <summary>How many runs may hold the lock at the same time, on all nodes together.</summary>
    /// <value>
    /// Default 1; from 1 to 1,000. All jobs with the same lock name should declare the same limit. If they differ, each job uses its own limit, so
    /// at most the largest number of runs executes at once, and a warning names both.
    /// </value>
    public int Limit { get => _declaration.Limit; set => _declaration = _declaration with { Limit = value }; }

    /// <summary>Explains which locks a firing would acquire. Needs no scheduler, and connects to no server.</summary>
    /// <param name="job">The job, as it is passed to the scheduler.</param>
    /// <param name="data">The data of the trigger, which overrides the data of the job; null for none.</param>
    /// <param name="scope">The value of <see cref="JobLocksOptions.Scope"/>; null for none.</param>
    /// <exception cref="JobLockRuleException">A rule does not fit the firing.</exception>
    public static JobLockExplanation Explain(IJobDetail job, JobDataMap? data = null, string? scope = null)
    {
        ArgumentNullException.ThrowIfNull(job);

        return JobLockExplanation.Of(QuartzJobCall.Of(job, data ?? []), scope);
    }

    internal LockDeclaration Declaration => _declaration;

    [OnDeserialized]
    private void OnRead(StreamingContext context) => _declaration = _declaration.EndReading();

    void IJsonOnDeserialized.OnDeserialized() => OnRead(default);
}
