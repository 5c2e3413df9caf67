using JobLocks.Gate;
using JobLocks.Quartz.Waiting;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Quartz;
using Quartz.Extensibility;

namespace JobLocks.Quartz.Entering;

/// <summary>
/// What one scheduler of a container has of us. It is made by whichever of its registrations is asked first, from the services that Quartz hands over:
/// for a scheduler added at run time, only these lead to the application's own. Thread-safe.
/// </summary>
internal sealed class SchedulerPart(IJobLocks? locks, string name)
{
    private readonly Lock _sync = new();
    private readonly RunningLocks _running = new();
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
            if (_listener is { } made) return made;

            _loggers = services.GetService<ILoggerFactory>() ?? NullLoggerFactory.Instance;
            _gate = (locks is null ? services.GetService<JobGate>() : JobGate.To(locks, _loggers)) ?? throw new JobLocksNotConfiguredException(
                "quartz.UseJobLocks() was called, but the container has no locks. Add the line services.AddJobLocks(connectionString); "
                + "without AddJobLocks, give the locks: quartz.UseJobLocks(AdvisoryLocks.Connect(connectionString)).");
            return _listener = new(_gate, _running, _loggers.CreateLogger<JobLockListener>(), _ => _store!.Value.Runs, vetoed: null);
        }
    }

    /// <summary>Puts us before the job store of the scheduler. The store is made before the listeners, whose services alone know the locks.</summary>
    public LockingJobStore StandBefore(IJobStore store, IServiceProvider services)
    {
        var closing = new CancellationTokenSource();
        _store = new(() => WatchOver(store, services, closing.Token));
        return new(store, new(() => _store.Value.Fired), closing);
    }

    private (QuartzRuns Runs, FiredRuns Fired) WatchOver(IJobStore store, IServiceProvider services, CancellationToken closing)
    {
        var gate = _gate ?? throw new InvalidOperationException("The job store was asked for a run before the scheduler had its listeners. This is a bug in JobLocks.");
        var log = _loggers.CreateLogger<JobLockListener>();
        var clock = OfScheduler<TimeProvider>(services) ?? TimeProvider.System;
        var signaler = OfScheduler<ISchedulerSignaler>(services)!;
        var triggers = new JobStoreTriggers(store);
        var runs = new QuartzRuns(triggers, clock, MisfireThresholdOf(store, services), log);
        var resumption = new Resumption(store, triggers, signaler, () => StartupCheck.Scheduler, clock, log, closing);
        return (runs, new(gate, runs, new(store, signaler, clock, gate, log, closing), resumption, _running, store, log));
    }

    private TimeSpan MisfireThresholdOf(IJobStore store, IServiceProvider services) => store.SupportsPersistence
        ? services.GetService<IOptionsMonitor<AdoJobStoreOptions>>()?.Get(name).MisfireThreshold ?? new AdoJobStoreOptions().MisfireThreshold
        : services.GetService<IOptionsMonitor<InMemoryJobStoreOptions>>()?.Get(name).MisfireThreshold ?? new InMemoryJobStoreOptions().MisfireThreshold;

    /// <summary>A part of this scheduler: the default scheduler's have no key.</summary>
    private T? OfScheduler<T>(IServiceProvider services)
        where T : class =>
        (name.Length > 0 ? services.GetKeyedService<T>(name) : null) ?? services.GetService<T>();
}
