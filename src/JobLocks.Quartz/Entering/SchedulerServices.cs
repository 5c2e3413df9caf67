using JobLocks.Gate;
using JobLocks.Quartz.Waiting;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Quartz;
using Quartz.Extensibility;
using Quartz.Impl.AdoJobStore.Common;

namespace JobLocks.Quartz.Entering;

/// <summary>
/// The services of JobLocks for one scheduler of a container. The gate, the loggers and the listener are created from the service provider that Quartz passes to
/// the first registration of a listener: for a scheduler that is added at run time, only this provider leads to the services of the application. Thread-safe.
/// </summary>
internal sealed class SchedulerServices(IJobLocks? locks, string name)
{
    private readonly Lock _sync = new();
    private readonly FiringDecisions _decisions = new();
    // The fields from here on: accessed under _sync.
    private JobGate? _gate;
    private ILoggerFactory _loggers = NullLoggerFactory.Instance;
    private JobLockListener? _listener;
    private Lazy<(QuartzRuns Runs, FiredRuns Fired)>? _store;

    public StartupCheck StartupCheck { get; } = new();

    /// <exception cref="JobLocksNotConfiguredException">The container has no locks.</exception>
    public JobLockListener ListenerFrom(IServiceProvider services)
    {
        lock (_sync)
        {
            if (_listener is { } existing) return existing;

            _loggers = services.GetService<ILoggerFactory>() ?? NullLoggerFactory.Instance;
            _gate = (locks is null ? services.GetService<JobGate>() : JobGate.To(locks, _loggers)) ?? throw new JobLocksNotConfiguredException(
                "quartz.UseJobLocks() was called, but the container has no locks. Add the line services.AddJobLocks(connectionString); "
                + "without AddJobLocks, give the locks: quartz.UseJobLocks(AdvisoryLocks.Connect(connectionString)).");
            return _listener = new(_gate, _decisions, _loggers.CreateLogger<JobLockListener>(), _ => Runs, vetoed: null);
        }
    }

    private QuartzRuns Runs
    {
        get
        {
            Lazy<(QuartzRuns Runs, FiredRuns Fired)> parts;
            lock (_sync) parts = _store!;
            return parts.Value.Runs;
        }
    }

    /// <summary>
    /// Decorates the job store of the scheduler. Quartz creates the store before the listeners, and only the listeners' provider leads to the locks.
    /// </summary>
    /// <exception cref="JobLocksNotConfiguredException">A persistent store was configured too late.</exception>
    public LockingJobStore Decorate(IJobStore store, IServiceProvider services)
    {
        // A second AddQuartz for the same scheduler repeats the registrations of the first one.
        if (store is LockingJobStore existing) return existing;

        ThrowIfStoreIsIgnored(store, services);
        var closing = new CancellationTokenSource();
        var parts = new Lazy<(QuartzRuns Runs, FiredRuns Fired)>(() => CreateParts(store, services, closing.Token));
        lock (_sync) _store = parts;
        return new(store, new(() => parts.Value.Fired), closing);
    }

    private (QuartzRuns Runs, FiredRuns Fired) CreateParts(IJobStore store, IServiceProvider services, CancellationToken closing)
    {
        JobGate? known;
        ILoggerFactory loggers;
        lock (_sync) (known, loggers) = (_gate, _loggers);
        var gate = known ?? throw new InvalidOperationException("The job store was asked for a run before the scheduler had its listeners. This is a bug in JobLocks.");
        var log = loggers.CreateLogger<JobLockListener>();
        var clock = OfScheduler<TimeProvider>(services) ?? TimeProvider.System;
        var signaler = OfScheduler<ISchedulerSignaler>(services)!;
        var triggers = new JobStoreTriggers(store, signaler);
        var runs = new QuartzRuns(triggers, StoreIdOf(store, triggers, services), clock, MisfireThresholdOf(store, services), log);
        var resumption = new Resumption(store, triggers, signaler, () => StartupCheck.Scheduler, clock, log, closing);
        var last = new LastFirings(store);
        var putBack = new PutBack(store, signaler, clock, gate, last, log, closing);
        return (runs, new(gate, runs, putBack, resumption, last, _decisions, store, log));
    }

    /// <summary>
    /// Throws if a persistent store was configured, but the store in memory is used. Quartz takes the first registered store, and JobLocks registers the
    /// store in memory if there is none yet. The runs would be lost with the process.
    /// </summary>
    private void ThrowIfStoreIsIgnored(IJobStore store, IServiceProvider services)
    {
        if (store.SupportsPersistence) return;

        // The options are not read from the monitor, which throws for options of a store that is not configured.
        var ignored = new AdoJobStoreOptions();
        foreach (var configure in services.GetServices<IConfigureOptions<AdoJobStoreOptions>>().OfType<IConfigureNamedOptions<AdoJobStoreOptions>>()) configure.Configure(name, ignored);
        if (ignored.DataSource.Length == 0) return;

        throw new JobLocksNotConfiguredException(
            $"The scheduler {(name.Length > 0 ? name : "of the container")} would keep its jobs in memory, though UsePersistentStore was called: AddQuartz was called twice for it, and "
            + "quartz.UseJobLocks() in the first call took the store that was known then. Call UsePersistentStore in the same AddQuartz as UseJobLocks, or in an earlier one.");
    }

    private IStoreId StoreIdOf(IJobStore store, JobStoreTriggers triggers, IServiceProvider services)
    {
        var inJob = new StoreIdInJob(triggers);
        if (!store.SupportsPersistence || OfScheduler<IDbProvider>(services) is not { } provider) return inJob;

        var prefix = services.GetService<IOptionsMonitor<AdoJobStoreOptions>>()?.Get(name).TablePrefix ?? new AdoJobStoreOptions().TablePrefix;
        return new StoreInPostgres(provider, () => StartupCheck.Scheduler?.SchedulerName ?? name, prefix, inJob);
    }

    private TimeSpan MisfireThresholdOf(IJobStore store, IServiceProvider services) => store.SupportsPersistence
        ? services.GetService<IOptionsMonitor<AdoJobStoreOptions>>()?.Get(name).MisfireThreshold ?? new AdoJobStoreOptions().MisfireThreshold
        : services.GetService<IOptionsMonitor<InMemoryJobStoreOptions>>()?.Get(name).MisfireThreshold ?? new InMemoryJobStoreOptions().MisfireThreshold;

    /// <summary>A service of this scheduler. Services of the default scheduler have no key.</summary>
    private T? OfScheduler<T>(IServiceProvider services)
        where T : class =>
        (name.Length > 0 ? services.GetKeyedService<T>(name) : null) ?? services.GetService<T>();
}
