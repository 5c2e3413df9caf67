using System.Linq.Expressions;
using System.Runtime.Serialization;
using System.Text.Json.Serialization;
using Hangfire.Client;
using Hangfire.Common;
using Hangfire.Server;
using Hangfire.States;
using JobLocks.Gate;
using JobLocks.Rules;
using Newtonsoft.Json;

namespace JobLocks.Hangfire;

/// <summary>Lets one run at a time through for each lock name, whatever server or scheduler it runs on.</summary>
/// <remarks>
/// <para>The lock is a PostgreSQL advisory lock: it is gone when its process dies, and it never expires while the run lasts.</para>
/// <para>Needs <c>UseJobLocks</c> on Hangfire's configuration; without it, jobs with this attribute are refused at enqueue.</para>
/// <para>Stands on a class, an interface or a method, by Hangfire's rules: those of the type and method that were enqueued count.
/// Where several apply, a run needs all of their locks or gets none.</para>
/// <para>Thread-safe: Hangfire shares one instance between all workers of a process.</para>
/// </remarks>
/// <example><code>
/// [JobLock("sync({clientId})", OnConflict = OnConflict.Skip)]
/// public Task Run(int clientId, CancellationToken stop) => …
/// </code></example>
[AttributeUsage(AttributeTargets.Class | AttributeTargets.Interface | AttributeTargets.Method, AllowMultiple = true)]
public sealed class JobLockAttribute : JobFilterAttribute, IClientFilter, IServerFilter, IElectStateFilter, IJsonOnDeserialized
{
    private string? _name;
    private bool _hasName;

    // Only while one is read from JSON.
    private bool _nameWasRead;

    /// <summary>Locks on the full type, the method and all arguments that Hangfire does not fill in itself.</summary>
    public JobLockAttribute()
    {
    }

    /// <summary>Locks on a name built from the arguments of the run.</summary>
    /// <param name="name">
    /// <c>{clientId}</c> is an argument by name, <c>{0}</c> by position, <c>{order.CustomerId}</c> a property of one,
    /// <c>{day:yyyy-MM-dd}</c> a format in the invariant culture, <c>{{</c> a brace. A mistake in it is reported at enqueue.
    /// </param>
    public JobLockAttribute(string name)
    {
        _name = name;
        _hasName = true;
    }

    /// <summary>The name of the lock as it was given; null for the type, the method and the arguments.</summary>
    /// <remarks>Serializers write it even where it is null, and refuse to read an attribute without it: its lock would be another one.</remarks>
    [JsonProperty(DefaultValueHandling = DefaultValueHandling.Include, NullValueHandling = NullValueHandling.Include)]
    [System.Text.Json.Serialization.JsonIgnore(Condition = JsonIgnoreCondition.Never)]
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
    [Newtonsoft.Json.JsonIgnore, System.Text.Json.Serialization.JsonIgnore]
    public override object TypeId => base.TypeId;

    /// <summary>What happens to a run that meets a held lock.</summary>
    /// <value>Default <see cref="OnConflict.Wait"/>.</value>
    public OnConflict OnConflict { get; set; }

    /// <summary>For <see cref="OnConflict.Wait"/>: how long a run waits. Then it fails, and the record says why.</summary>
    /// <value>In seconds; default 0: for as long as it takes.</value>
    public int WaitAtMostSeconds { get; set; }

    /// <summary>For <see cref="OnConflict.Wait"/>: how many runs may wait under one name. A further one is skipped, and the record says so.</summary>
    /// <value>Default 0: all. With 1, the one that waits will see the further one's change too.</value>
    public int KeepWaiting { get; set; }

    /// <summary>For <see cref="KeepWaiting"/>: whether the oldest run that waits is skipped instead, and the further one waits.</summary>
    /// <value>Default false.</value>
    public bool KeepNewest { get; set; }

    /// <summary>For <see cref="OnConflict.Reschedule"/>: how long until the next try.</summary>
    /// <value>In seconds; default 15, at least 1. Hangfire looks for due jobs every <c>SchedulePollingInterval</c>, which comes on top.</value>
    public int RetryAfterSeconds { get; set; } = LockDeclaration.DefaultRetryAfterSeconds;

    /// <summary>Whom the lock keeps out: with <see cref="LockMode.Shared"/>, only runs that take it exclusively.</summary>
    /// <value>Default <see cref="LockMode.Exclusive"/>.</value>
    public LockMode Mode { get; set; }

    /// <summary>How many runs may have the lock at once, on all servers together.</summary>
    /// <value>
    /// Default 1; from 1 to 1,000. All jobs of one lock name should say the same number: where they do not, up to the largest run at once,
    /// and a warning names both.
    /// </value>
    public int Limit { get; set; } = 1;

    /// <summary>Says which locks a call would ask for, without a server.</summary>
    /// <typeparam name="T">The class that would be enqueued.</typeparam>
    /// <param name="call">The call as one would enqueue it: <c>job => job.Run(4, default)</c>.</param>
    /// <param name="scope">As <see cref="JobLocksOptions.Scope"/>; null for none.</param>
    /// <exception cref="JobLockRuleException">A rule cannot work for this call.</exception>
    public static JobLockExplanation Explain<T>(Expression<Action<T>> call, string? scope = null) => Explain(Job.FromExpression(call), scope);

    /// <inheritdoc cref="Explain{T}(Expression{Action{T}}, string?)"/>
    public static JobLockExplanation Explain<T>(Expression<Func<T, Task>> call, string? scope = null) => Explain(Job.FromExpression(call), scope);

    internal LockDeclaration Declaration => new(_name, OnConflict, RetryAfterSeconds)
    {
        HasName = _hasName,
        Mode = Mode,
        Limit = Limit,
        WaitAtMostSeconds = WaitAtMostSeconds,
        KeepWaiting = KeepWaiting,
        KeepNewest = KeepNewest,
    };

    /// <summary>OnPerformed is not called for a filter that throws here.</summary>
    private static RunWatch? WatchOver(PerformContext context, Admission.Admitted admitted, JobGate gate)
    {
        try
        {
            return RunWatch.Over(context, admitted.First, gate.Loggers);
        }
        catch
        {
            JobLockHandle.Current = null;
            admitted.Dispose();
            throw;
        }
    }

    private static void Refuse(PerformingContext context, RefusedRun refused)
    {
        // Where servers were given filter providers of their own, nothing surrounds the run. It is parked at once: other filters see an exception.
        if (refused.Place is not null && !RefusalFilter.Surrounds(context) && ParkedRun.TryPark(context, refused)) throw new JobAbortedException();

        refused.Cancel(context);
    }

    /// <summary>
    /// When Hangfire is to start a waiting run by itself. A new process learns of some storages only by their jobs: there, the first in line is one.
    /// </summary>
    private static TimeSpan AtMost(Admission.Waits waits, PerformContext context)
    {
        var soon = TimeSpan.FromSeconds(LockDeclaration.DefaultRetryAfterSeconds) * waits.Position;
        return soon < waits.AtMost && ConfiguredGates.IsFoundByItsJobs(context.Storage) ? soon : waits.AtMost;
    }

    private static JobLockExplanation Explain(Job job, string? scope) => JobLockExplanation.Of(HangfireJobCall.Of(job), scope);

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

    void IClientFilter.OnCreating(CreatingContext context)
    {
        ConfiguredGates.For(context.Storage, context.Job);
        HangfireJobCall.Check(this, context.Job);
    }

    void IClientFilter.OnCreated(CreatedContext context)
    {
        // One that is to run later, or after this one, is meant to.
        if (context is { Canceled: false, Exception: null, BackgroundJob: { } made, InitialState: EnqueuedState })
            ConfiguredGates.Of(context.Storage)?.Made(() => HangfireJobCall.Of(made, this));
    }

    void IServerFilter.OnPerforming(PerformingContext context)
    {
        using var outside = AmbientTransaction.Leave();
        var entered = EnteredRun.AllOf(context.Items);
        if (entered.Exists(run => run.AskedFor.Contains(this))) return;

        var job = context.BackgroundJob.Job;
        var gate = ConfiguredGates.For(context.Storage, job);
        // The first asks for all, so that the gate decides once. One that Hangfire's own providers do not know asks for itself.
        IReadOnlyList<JobLockAttribute> askedFor = entered.Count == 0 ? HangfireJobCall.AttributesOf(job, this) : [this];
        var call = HangfireJobCall.Of(context, askedFor);
        if (entered.Exists(run => run.Holds(call))) return;

        switch (gate.TryEnter(call, context.CancellationToken.ShutdownToken))
        {
            case Admission.Admitted admitted:
                if (entered.Count == 0) JobLockHandle.Current = admitted.First;
                entered.Add(new(this, askedFor, call, admitted, WatchOver(context, admitted, gate)));
                break;
            case Admission.Waits waits:
                Refuse(context, new(waits, AtMost(waits, context), gate));
                break;
            case Admission.Refused refused:
                if (refused.What == OnConflict.Reschedule) OriginalQueue.Remember(context);
                Refuse(context, new(refused, gate));
                break;
        }
    }

    void IServerFilter.OnPerformed(PerformedContext context)
    {
        // Called on every way out of the run: its end, its exception, another filter's veto, shutdown.
        using var outside = AmbientTransaction.Leave();
        var entered = EnteredRun.AllOf(context.Items);
        if (entered.Find(run => run.EnteredBy == this) is not { } run) return;

        entered.Remove(run);
        if (entered.Count == 0) JobLockHandle.Current = null;
        run.Watch?.Dispose();
        var handle = run.Admitted.First;
        var isLost = handle.IsLost;
        // Before others are woken: this worker may take the next run.
        HangfireRuns.Of(context.Storage).Servers.End(context);
        run.Admitted.Dispose();
        if (!isLost) return;

        // Hangfire takes the end of any run for the end of the one that is in Processing, and that may be the retry by now.
        if (run.Watch is { HasStopped: true }) throw new JobAbortedException();

        new LostRun(handle).Remember(context, ConfiguredGates.For(context.Storage, context.BackgroundJob.Job).Loggers);
    }

    void IElectStateFilter.OnStateElection(ElectStateContext context)
    {
        OriginalQueue.Restore(context);
        FetchedRun.Remember(context);
        // Done before any other filter by one of ours, where servers have Hangfire's own filter providers.
        LostRun.Tell(context);
        RefusedRun.Elect(context);
    }
}
