using JobLocks.Gate;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace JobLocks.Quartz;

/// <summary>
/// What one scheduler of a container has of us. The listener is made by whichever of its four registrations is asked first,
/// from the services that Quartz hands over: for a scheduler added at run time, only these lead to the application's own.
/// </summary>
internal sealed class SchedulerPart(IJobLocks? locks)
{
    private readonly Lock _making = new();
    private JobLockListener? _listener;

    public StartupCheck StartupCheck { get; } = new();

    /// <exception cref="JobLocksNotConfiguredException">The container has no locks.</exception>
    public JobLockListener ListenerFrom(IServiceProvider services)
    {
        lock (_making) return _listener ??= Listener(services);
    }

    private JobLockListener Listener(IServiceProvider services)
    {
        var loggers = services.GetService<ILoggerFactory>() ?? NullLoggerFactory.Instance;
        var gate = locks is null ? services.GetService<JobGate>() : JobGate.To(locks, loggers);
        return gate is null
            ? throw new JobLocksNotConfiguredException(
                "quartz.UseJobLocks() was called, but the container has no locks. Add the line services.AddJobLocks(connectionString); "
                + "without AddJobLocks, give the locks: quartz.UseJobLocks(AdvisoryLocks.Connect(connectionString)).")
            : new(gate, loggers.CreateLogger<JobLockListener>(), isMiddleware: true);
    }
}
