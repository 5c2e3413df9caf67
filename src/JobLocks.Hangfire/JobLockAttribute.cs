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

/// <summary>Limits concurrent runs: by default, one run at a time executes for each lock name, on all servers and schedulers together.</summary>
/// <remarks>
/// <para>The lock is a PostgreSQL session-level advisory lock. The server releases it when the process dies. It never expires while the run lasts.</para>
/// <para>Requires <c>UseJobLocks</c> on Hangfire's configuration. Without it, a job with this attribute is refused at enqueue.</para>
/// <para>The attribute may be set on a class, an interface or a method. As with any Hangfire filter, the type and the method that were enqueued count.
/// If several attributes apply, a run acquires all of their locks or none.</para>
/// <para>Thread-safe: Hangfire shares one instance between all workers of a process.</para>
/// </remarks>
/// <example><code>
/// [JobLock("sync({clientId})", OnConflict = OnConflict.Skip)]
/// public Task Run(int clientId, CancellationToken stop) => …
/// </code></example>
[AttributeUsage(AttributeTargets.Class | AttributeTargets.Interface | AttributeTargets.Method, AllowMultiple = true)]
public sealed class JobLockAttribute : JobFilterAttribute, IClientFilter, IServerFilter, IElectStateFilter, IJsonOnDeserialized
{
    private LockDeclaration _declaration = LockDeclaration.Default;

    /// <summary>Locks a name built from the full type name, the method and all arguments, except those that Hangfire fills in itself.</summary>
    public JobLockAttribute()
    {
    }

    /// <summary>Locks a name built from the arguments of the run.</summary>
    /// <param name="name">
    /// The template of the lock name. <c>{clientId}</c> is an argument by name, <c>{0}</c> by position, <c>{order.CustomerId}</c> a property of an argument,
    /// <c>{day:yyyy-MM-dd}</c> a format in the invariant culture, <c>{{</c> a brace. A mistake in the template is reported at enqueue.
    /// </param>
    public JobLockAttribute(string name) => _declaration = _declaration with { Name = name, HasName = true };

    /// <summary>The template of the lock name, as declared. Null if the name is built from the type, the method and the arguments.</summary>
    /// <remarks>
    /// Serializers write this property even if it is null. Reading an attribute without it fails, because the attribute would lock another name.
    /// </remarks>
    [JsonProperty(DefaultValueHandling = DefaultValueHandling.Include, NullValueHandling = NullValueHandling.Include)]
    [System.Text.Json.Serialization.JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public string? Name
    {
        get => _declaration.NameProperty;
        init => _declaration = _declaration.WithReadName(value);
    }

    /// <inheritdoc/>
    [Newtonsoft.Json.JsonIgnore, System.Text.Json.Serialization.JsonIgnore]
    public override object TypeId => base.TypeId;

    /// <summary>What happens to a run whose lock is held by another run.</summary>
    /// <value>
    /// Default <see cref="OnConflict.Wait"/>. A run that was fetched before (its worker died, or it outlived the invisibility timeout) is never skipped and
    /// never failed: it is rescheduled.
    /// </value>
    public OnConflict OnConflict { get => _declaration.OnConflict; set => _declaration = _declaration with { OnConflict = value }; }

    /// <summary>For <see cref="OnConflict.Wait"/>: the longest time that a run waits. After that the run fails, and the reason of its state says why.</summary>
    /// <value>In seconds. Default 0: no limit.</value>
    public int WaitAtMostSeconds { get => _declaration.WaitAtMostSeconds; set => _declaration = _declaration with { WaitAtMostSeconds = value }; }

    /// <summary>
    /// For <see cref="OnConflict.Wait"/>: how many runs may wait for one lock name. A further run is skipped, and the reason of its state says so.
    /// </summary>
    /// <value>
    /// Default 0: no limit. With 1, a skipped run loses nothing: the run that waits starts later than the skipped run was enqueued, so it processes the same
    /// data.
    /// </value>
    public int KeepWaiting { get => _declaration.KeepWaiting; set => _declaration = _declaration with { KeepWaiting = value }; }

    /// <summary>For <see cref="KeepWaiting"/>: whether a further run waits, and the oldest waiting run is skipped instead of it.</summary>
    /// <value>Default false.</value>
    public bool KeepNewest { get => _declaration.KeepNewest; set => _declaration = _declaration with { KeepNewest = value }; }

    /// <summary>For <see cref="OnConflict.Reschedule"/>: the time until the next try.</summary>
    /// <value>In seconds. Default 15, minimum 1. Hangfire looks for due jobs once in each <c>SchedulePollingInterval</c>, which adds to this time.</value>
    public int RetryAfterSeconds { get => _declaration.RetryAfterSeconds; set => _declaration = _declaration with { RetryAfterSeconds = value }; }

    /// <summary>Which other runs the lock excludes. A <see cref="LockMode.Shared"/> lock excludes only runs that acquire it exclusively.</summary>
    /// <value>Default <see cref="LockMode.Exclusive"/>.</value>
    public LockMode Mode { get => _declaration.Mode; set => _declaration = _declaration with { Mode = value }; }

    /// <summary>How many runs may hold the lock at the same time, on all servers together.</summary>
    /// <value>
    /// Default 1; from 1 to 1,000. All jobs with the same lock name should declare the same limit. If they differ, each job uses its own limit, so
    /// at most the largest number of runs executes at once, and a warning names both.
    /// </value>
    public int Limit { get => _declaration.Limit; set => _declaration = _declaration with { Limit = value }; }

    /// <summary>Explains which locks a call would acquire. Connects to no server.</summary>
    /// <typeparam name="T">The class of the job.</typeparam>
    /// <param name="call">The call, as it is passed to <c>Enqueue</c>: <c>job => job.Run(4, default)</c>.</param>
    /// <param name="scope">The value of <see cref="JobLocksOptions.Scope"/>; null for none.</param>
    /// <exception cref="JobLockRuleException">A rule does not fit the call.</exception>
    public static JobLockExplanation Explain<T>(Expression<Action<T>> call, string? scope = null) => Explain(Job.FromExpression(call), scope);

    /// <inheritdoc cref="Explain{T}(Expression{Action{T}}, string?)"/>
    public static JobLockExplanation Explain<T>(Expression<Func<T, Task>> call, string? scope = null) => Explain(Job.FromExpression(call), scope);

    internal LockDeclaration Declaration => _declaration;

    /// <summary>
    /// Starts to watch for the loss of the lock. On an exception it releases the locks: Hangfire does not call OnPerformed of a filter that threw in
    /// OnPerforming.
    /// </summary>
    private static RunWatch? WatchOver(PerformContext context, Admission.Admitted admitted, JobGate gate)
    {
        try
        {
            return RunWatch.TryStart(context, admitted.First, gate.Loggers);
        }
        catch
        {
            JobLockHandle.Current = null;
            admitted.Dispose();
            throw;
        }
    }

    private static Admission Enter(JobGate gate, JobCall call, PerformContext context)
    {
        using var decision = HangfireRuns.Of(context.Storage).Servers.BeginDecision(context);
        return gate.TryEnter(call, context.CancellationToken.ShutdownToken);
    }

    /// <summary>The job was deleted or changed while its run waited in its worker: it must not run any more.</summary>
    /// <exception cref="JobAbortedException">Hangfire drops the run and leaves the job as it is. The locks are released.</exception>
    private static void AbortIfTakenAway(PerformContext context, Admission.Admitted admitted)
    {
        try
        {
            context.CancellationToken.ThrowIfCancellationRequested();
        }
        catch (JobAbortedException)
        {
            admitted.Dispose();
            throw;
        }
        catch (Exception)
        {
            // The server is shutting down, or the storage cannot be asked. The run begins, and its own token shows it the shutdown.
        }
    }

    private static void Refuse(PerformingContext context, RefusedRun refused)
    {
        // If the server has its own filter providers, RefusalFilter is not called for its runs. Then this filter parks the run itself and throws, so the
        // other filters see an exception instead of a canceled run.
        if (refused.Entry is not null && !RefusalFilter.Surrounds(context) && ParkedRun.TryPark(context, refused)) throw new JobAbortedException();

        refused.Cancel(context);
    }

    /// <summary>
    /// After what time Hangfire starts a waiting run without a wake-up. A process whose storage is in no configuration of JobLocks serves it only after it has
    /// fetched a job. There the run is due earlier, in proportion to its position, so that such a process soon fetches one.
    /// </summary>
    private static TimeSpan UnwokenStartFor(Admission.Waits waits, PerformContext context)
    {
        var soon = TimeSpan.FromSeconds(LockDeclaration.DefaultRetryAfterSeconds) * waits.Position;
        return soon < waits.StartsUnwokenAfter && ConfiguredGates.IsKnownOnlyFromJobs(context.Storage) ? soon : waits.StartsUnwokenAfter;
    }

    private static JobLockExplanation Explain(Job job, string? scope) => JobLockExplanation.Of(HangfireJobCall.Of(job), scope);

    [OnDeserialized]
    private void OnRead(StreamingContext context) => _declaration = _declaration.EndReading();

    void IJsonOnDeserialized.OnDeserialized() => OnRead(default);

    void IClientFilter.OnCreating(CreatingContext context)
    {
        ConfiguredGates.For(context.Storage, context.Job);
        HangfireJobCall.Check(this, context.Job);
    }

    void IClientFilter.OnCreated(CreatedContext context)
    {
        // A scheduled job or a continuation is meant to start after this run, so it is no self-wait.
        if (context is { Canceled: false, Exception: null, BackgroundJob: { } created, InitialState: EnqueuedState })
            ConfiguredGates.GetOrAssign(context.Storage)?.OnJobCreated(() => HangfireJobCall.Of(created, this));
    }

    void IServerFilter.OnPerforming(PerformingContext context)
    {
        using var noTransaction = AmbientTransaction.Suppress();
        var entered = EnteredRun.AllOf(context.Items);
        if (entered.Exists(run => run.CoveredAttributes.Contains(this))) return;

        var job = context.BackgroundJob.Job;
        var gate = ConfiguredGates.For(context.Storage, job);
        // The first attribute requests the locks of all attributes, so that the gate decides once. An attribute that Hangfire's own filter providers
        // do not return requests its own lock.
        IReadOnlyList<JobLockAttribute> askedFor = entered.Count == 0 ? HangfireJobCall.AttributesOf(job, this) : [this];
        var call = HangfireJobCall.Of(context, askedFor);
        if (entered.Exists(run => run.Holds(call))) return;

        switch (Enter(gate, call, context))
        {
            case Admission.Admitted admitted:
                if (admitted.HasWaitedInWorker) AbortIfTakenAway(context, admitted);
                if (entered.Count == 0) JobLockHandle.Current = admitted.First;
                entered.Add(new(this, askedFor, call, admitted, WatchOver(context, admitted, gate)));
                break;
            case Admission.Waits waits:
                Refuse(context, new(waits, UnwokenStartFor(waits, context), gate));
                break;
            case Admission.Refused refused:
                if (refused.Action == OnConflict.Reschedule) OriginalQueue.StoreAndGet(context);
                Refuse(context, new(refused, gate));
                break;
        }
    }

    void IServerFilter.OnPerformed(PerformedContext context)
    {
        // Hangfire calls this at every end of a run: success, exception, veto of another filter, shutdown.
        using var noTransaction = AmbientTransaction.Suppress();
        var entered = EnteredRun.AllOf(context.Items);
        if (entered.Find(run => run.EnteredBy == this) is not { } run) return;

        entered.Remove(run);
        if (entered.Count == 0) JobLockHandle.Current = null;
        run.Watch?.Dispose();
        var handle = run.Admitted.First;
        var isLost = handle.IsLost;
        // Counts the worker as free before the release wakes other runs: this worker may fetch one of them.
        HangfireRuns.Of(context.Storage).Servers.End(context);
        run.Admitted.Dispose();
        if (!isLost) return;

        // The result of the stopped run must be dropped: Hangfire would apply it to the run of the job that is in Processing, which may be the retry.
        if (run.Watch is { HasStopped: true }) throw new JobAbortedException();

        new LostRun(handle).Remember(context, ConfiguredGates.For(context.Storage, context.BackgroundJob.Job).Loggers);
    }

    void IElectStateFilter.OnStateElection(ElectStateContext context)
    {
        OriginalQueue.Restore(context);
        FetchedRun.Remember(context);
        // If the server uses Hangfire's own filter providers, RefusalFilter has already done this, before all other filters.
        LostRun.AddReason(context);
        RefusedRun.Elect(context);
    }
}
