using System.Runtime.CompilerServices;
using Hangfire;
using Hangfire.Common;
using JobLocks.Gate;

namespace JobLocks.Hangfire;

/// <summary>
/// Which gate the runs of a storage pass. Attributes get nothing from a container, so what <c>UseJobLocks</c> set up
/// must be found from the storage that a run belongs to. A storage keeps the gate that it has. Thread-safe.
/// </summary>
internal static class ConfiguredGates
{
    private static readonly Lock Sync = new();
    private static readonly ConditionalWeakTable<JobStorage, StorageGate> Gates = [];
    private static readonly ConditionalWeakTable<JobGate, StrongBox<CancellationToken>> StoppingHosts = [];
    private static DefaultGate? _default;

    /// <summary>Sets the gate of one storage.</summary>
    public static void Set(JobStorage storage, JobGate gate)
    {
        lock (Sync) Assign(storage, new(gate) { IsConfigured = true });
    }

    /// <summary>
    /// Sets the gate of a configuration that names no storage: of the current one, unless another configuration has it; else of the next one that
    /// becomes the current one; and of every storage that has none.
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
            var takes = current is not null && known is not { IsConfigured: true, Gate.IsClosed: false };
            if (takes) Assign(current!, new(gate) { IsConfigured = true });
            // A current storage that another configuration had may be left over from that one.
            _default = new(gate) { ExpectsStorage = !takes || known is { IsConfigured: true } };
        }

        CurrentStorageWatch.Start();
    }

    /// <summary>Sets the gate of a host: of the storage in its container, as soon as that is configured; and of every storage that has none.</summary>
    public static void SetHost(JobGate gate, Func<JobStorage?> storage)
    {
        lock (Sync)
        {
            AssignCurrent();
            _default = new(gate);
        }

        HostStorage.Await(storage, found =>
        {
            lock (Sync)
            {
                if (Find(found) is not { IsConfigured: true, Gate.IsClosed: false }) Assign(found, new(gate) { IsConfigured = true });
            }
        });
    }

    /// <summary>Gives the current storage of the process its gate, where one is set for storages that were not named.</summary>
    public static void AssignCurrent()
    {
        lock (Sync)
        {
            if (_default is not { Gate.IsClosed: false } other || CurrentStorage() is not { } current || Find(current) is not null) return;

            Assign(current, new(other.Gate) { IsConfigured = other.ExpectsStorage });
            _default = other with { ExpectsStorage = false };
        }
    }

    /// <summary>The gate of a storage.</summary>
    /// <exception cref="JobLocksNotConfiguredException">None was set: the job must not run unlocked.</exception>
    public static JobGate For(JobStorage storage, Job job) =>
        Of(storage) ?? throw new JobLocksNotConfiguredException(
            $"{job.Type.Name}.{job.Method.Name} carries [JobLock], but Hangfire was not told to use JobLocks. "
            + "Add it where Hangfire is set up: services.AddHangfire((services, hangfire) => hangfire.UsePostgreSqlStorage(…).UseJobLocks(services)), "
            + "or GlobalConfiguration.Configuration.UseJobLocks(locks) without a container.");

    /// <summary>The gate of a storage that has a server, a client or a page here; null where none was set.</summary>
    public static JobGate? Of(JobStorage storage)
    {
        if (Find(storage) is { IsConfigured: true } known) return known.Gate;
        if (_default is null) return Find(storage)?.Gate;

        lock (Sync)
        {
            AssignCurrent();
            if (Find(storage) is not { } gate)
            {
                if (_default is not { } other) return null;

                Assign(storage, gate = new(other.Gate) { IsFoundByItsJobs = true });
            }

            // It is in use: a configuration that comes later is another one's.
            gate.IsConfigured = true;
            return gate.Gate;
        }
    }

    /// <summary>Says when the host stops that has this gate in its container.</summary>
    public static void SetHostStopping(JobGate gate, CancellationToken stopping) => StoppingHosts.AddOrUpdate(gate, new(stopping));

    /// <summary>Whether the host stops that set the gate of this storage. Its servers are told so next.</summary>
    public static bool IsHostStopping(JobStorage storage) =>
        Find(storage) is { } known && StoppingHosts.TryGetValue(known.Gate, out var stopping) && stopping.Value.IsCancellationRequested;

    /// <summary>Whether nothing but its jobs leads to this storage: a new process does not know it before one of them comes.</summary>
    public static bool IsFoundByItsJobs(JobStorage storage) => Find(storage) is { IsFoundByItsJobs: true };

    private static StorageGate? Find(JobStorage storage) => Gates.TryGetValue(storage, out var gate) ? gate : null;

    private static void Assign(JobStorage storage, StorageGate gate)
    {
        if (Find(storage) is { } known && known.Gate != gate.Gate) known.Gate.Forget(HangfireRuns.Of(storage));
        if (Find(storage)?.Gate != gate.Gate) gate.Gate.Serve(HangfireRuns.Of(storage));
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
            // Hangfire has no other way to ask whether a storage was set.
            return null;
        }
    }

    private sealed class StorageGate(JobGate gate)
    {
        public JobGate Gate => gate;

        /// <summary>Whether this gate was meant for this storage, and is not only the last resort of one that none was set for.</summary>
        public bool IsConfigured { get; set; }

        public bool IsFoundByItsJobs { get; init; }
    }

    /// <param name="Gate">For storages that none was set for.</param>
    private sealed record DefaultGate(JobGate Gate)
    {
        /// <summary>Whether its own storage is still to become the current one.</summary>
        public bool ExpectsStorage { get; init; }
    }
}
