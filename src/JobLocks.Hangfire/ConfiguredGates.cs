using System.Runtime.CompilerServices;
using Hangfire;
using Hangfire.Common;
using JobLocks.Gate;

namespace JobLocks.Hangfire;

/// <summary>
/// Maps each Hangfire storage to its gate. Hangfire creates attributes without a container, so a filter finds what <c>UseJobLocks</c> configured through the
/// storage of the run. <c>UseJobLocks</c> for a storage replaces its gate. A configuration that names no storage replaces only a gate that is closed, or that
/// was assigned by default and is unused. Thread-safe.
/// </summary>
internal static class ConfiguredGates
{
    private static readonly Lock Sync = new();
    private static readonly ConditionalWeakTable<JobStorage, StorageGate> Gates = [];
    private static readonly ConditionalWeakTable<JobGate, StrongBox<CancellationToken>> StoppingHosts = [];
    // Written under Sync. Also read without it.
    private static volatile DefaultGate? _default;

    /// <summary>Sets the gate of one storage.</summary>
    public static void Set(JobStorage storage, JobGate gate)
    {
        lock (Sync) Assign(storage, new(gate) { IsClaimed = true });
    }

    /// <summary>
    /// Sets the gate of a configuration that names no storage. The gate belongs to the current storage, unless another configuration has set its gate;
    /// then it belongs to the next current storage. It is also the default of every storage without a gate.
    /// </summary>
    public static void SetDefault(JobGate? gate)
    {
        lock (Sync)
        {
            if (gate is null)
            {
                _default = null;
                return;
            }

            AssignCurrent();
            var current = CurrentStorage();
            var known = current is null ? null : Find(current);
            var takesCurrent = current is not null && known is not { IsClaimed: true, Gate.IsClosed: false };
            if (takesCurrent) Assign(current!, new(gate) { IsClaimed = true });
            // JobStorage.Current may still be the storage of an earlier configuration. In that case the gate also waits for the next current storage.
            _default = new(gate) { WaitsForItsStorage = !takesCurrent || known is { IsClaimed: true } };
        }

        CurrentStorageWatch.Start();
    }

    /// <summary>
    /// Sets the gate of a host: of the storage in its container, as soon as Hangfire is configured, and as the default of every storage without a gate.
    /// </summary>
    public static void SetHost(JobGate gate, Func<JobStorage?> storage)
    {
        lock (Sync)
        {
            AssignCurrent();
            _default = new(gate);
        }

        HostStorage.ResolveInBackground(storage, found =>
        {
            lock (Sync)
            {
                if (Find(found) is not { IsClaimed: true, Gate.IsClosed: false }) Assign(found, new(gate) { IsClaimed = true });
            }
        });
    }

    /// <summary>Assigns the default gate, if one is set, to the current storage of the process, if that has no gate.</summary>
    public static void AssignCurrent()
    {
        lock (Sync)
        {
            if (_default is not { Gate.IsClosed: false } fallback || CurrentStorage() is not { } current || Find(current) is not null) return;

            Assign(current, new(fallback.Gate) { IsClaimed = fallback.WaitsForItsStorage });
            _default = fallback with { WaitsForItsStorage = false };
        }
    }

    /// <summary>The gate of a storage.</summary>
    /// <exception cref="JobLocksNotConfiguredException">The storage has no gate. The job must not run without its lock.</exception>
    public static JobGate For(JobStorage storage, Job job) =>
        GetOrAssign(storage) ?? throw new JobLocksNotConfiguredException(
            $"{job.Type.Name}.{job.Method.Name} carries [JobLock], but Hangfire was not told to use JobLocks. "
            + "Add it where Hangfire is set up: services.AddHangfire((services, hangfire) => hangfire.UsePostgreSqlStorage(…).UseJobLocks(services)), "
            + "or GlobalConfiguration.Configuration.UseJobLocks(locks) without a container.");

    /// <summary>The gate of a storage that a server, a client or a dashboard of this process uses; null if none is set.</summary>
    public static JobGate? GetOrAssign(JobStorage storage)
    {
        if (Find(storage) is { IsClaimed: true } known) return known.Gate;
        if (_default is null) return Find(storage)?.Gate;

        lock (Sync)
        {
            AssignCurrent();
            if (Find(storage) is not { } gate)
            {
                if (_default is not { } fallback) return null;

                Assign(storage, gate = new(fallback.Gate) { IsKnownOnlyFromJobs = true });
            }

            // The storage is in use now. A configuration that is made later must belong to another storage.
            gate.IsClaimed = true;
            return gate.Gate;
        }
    }

    /// <summary>Sets the token that is cancelled when the host with this gate stops.</summary>
    public static void SetHostStopping(JobGate gate, CancellationToken stopping) => StoppingHosts.AddOrUpdate(gate, new(stopping));

    /// <summary>
    /// Whether the host that set the gate of this storage is stopping. Its servers are about to stop, although they may not have been asked yet.
    /// </summary>
    public static bool IsHostStopping(JobStorage storage) =>
        Find(storage) is { } known && StoppingHosts.TryGetValue(known.Gate, out var stopping) && stopping.Value.IsCancellationRequested;

    /// <summary>Whether no configuration names this storage: this process found it through one of its jobs or its dashboard.</summary>
    public static bool IsKnownOnlyFromJobs(JobStorage storage) => Find(storage) is { IsKnownOnlyFromJobs: true };

    private static StorageGate? Find(JobStorage storage) => Gates.TryGetValue(storage, out var gate) ? gate : null;

    private static void Assign(JobStorage storage, StorageGate gate)
    {
        if (Find(storage) is { } known && known.Gate != gate.Gate) known.Gate.RemoveStore(HangfireRuns.Of(storage));
        if (Find(storage)?.Gate != gate.Gate) gate.Gate.AddStore(HangfireRuns.Of(storage));
        Gates.AddOrUpdate(storage, gate);
    }

    private static JobStorage? CurrentStorage()
    {
        try
        {
            return JobStorage.Current;
        }
        catch (InvalidOperationException)
        {
            // JobStorage.Current throws if no storage is set. Hangfire has no other way to ask.
            return null;
        }
    }

    private sealed class StorageGate(JobGate gate)
    {
        // Written under Sync. Also read without it: once true, it stays true.
        private volatile bool _isClaimed;

        public JobGate Gate => gate;

        /// <summary>
        /// Whether the gate was configured for this storage, or the storage is in use. Configurations without a storage do not replace it while it is open. False for
        /// an unused default.
        /// </summary>
        public bool IsClaimed { get => _isClaimed; set => _isClaimed = value; }

        public bool IsKnownOnlyFromJobs { get; init; }
    }

    /// <param name="Gate">The gate of storages without a gate of their own.</param>
    private sealed record DefaultGate(JobGate Gate)
    {
        /// <summary>Whether the storage of this gate's configuration is still to become the current storage.</summary>
        public bool WaitsForItsStorage { get; init; }
    }
}
