using System.Runtime.CompilerServices;
using Hangfire;
using Hangfire.Common;
using JobLocks.Gate;

namespace JobLocks.Hangfire;

/// <summary>
/// Which gate the runs of a storage pass. Attributes get nothing from a container, so what <c>UseJobLocks</c> set up
/// must be found from the storage that a run belongs to. Thread-safe.
/// </summary>
internal static class ConfiguredGates
{
    private static readonly ConditionalWeakTable<JobStorage, JobGate> Gates = [];
    private static readonly ConditionalWeakTable<JobStorage, JobGate> Served = [];
    private static volatile JobGate? _unlessConfigured;

    /// <summary>Sets the gate of one storage.</summary>
    public static void Set(JobStorage storage, JobGate gate)
    {
        Gates.AddOrUpdate(storage, gate);
        Serve(storage, gate);
    }

    /// <summary>Sets the gate of storages that are not yet known.</summary>
    public static void SetDefault(JobGate gate) => _unlessConfigured = gate;

    /// <summary>The gate of a storage.</summary>
    /// <exception cref="JobLocksNotConfiguredException">None was set: the job must not run unlocked.</exception>
    public static JobGate For(JobStorage storage, Job job)
    {
        if (Gates.TryGetValue(storage, out var gate)) return gate;

        if (_unlessConfigured is { } other)
        {
            Serve(storage, other);
            return other;
        }

        throw new JobLocksNotConfiguredException(
            $"{job.Type.Name}.{job.Method.Name} carries [JobLock], but Hangfire was not told to use JobLocks. "
            + "Add it where Hangfire is set up: services.AddHangfire((services, hangfire) => hangfire.UsePostgreSqlStorage(…).UseJobLocks(services)), "
            + "or GlobalConfiguration.Configuration.UseJobLocks(locks) without a container.");
    }

    /// <summary>The gate of a storage; null where none was set.</summary>
    public static JobGate? Find(JobStorage storage) => Gates.TryGetValue(storage, out var gate) ? gate : _unlessConfigured;

    private static void Serve(JobStorage storage, JobGate gate)
    {
        if (Served.TryGetValue(storage, out var serving) && serving == gate) return;

        gate.Serve(HangfireRuns.Of(storage));
        Served.AddOrUpdate(storage, gate);
    }
}
