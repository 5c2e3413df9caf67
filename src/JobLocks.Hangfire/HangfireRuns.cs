using System.Runtime.CompilerServices;
using Hangfire;
using Hangfire.Common;
using Hangfire.States;
using Hangfire.Storage;
using JobLocks.Gate;
using JobLocks.Primitives;
using JobLocks.WaitQueue;

namespace JobLocks.Hangfire;

/// <summary>
/// The waiting runs of a Hangfire storage. They are parked in the state Scheduled, due so late that normally a wake-up starts them first. Thread-safe.
/// </summary>
internal sealed class HangfireRuns : IRunStore
{
    /// <summary>The key of Hangfire's set of scheduled jobs.</summary>
    public const string ScheduledSet = "schedule";

    // Due times are stored in whole seconds, so many jobs can have the same one.
    private const int MostDueAtOnce = 10_000;

    private static readonly TimeSpan BetweenReads = TimeSpan.FromSeconds(5);
    private static readonly ConditionalWeakTable<JobStorage, HangfireRuns> OfStorages = [];

    private readonly JobStorage _storage;
    private readonly LocalServers _servers;
    private readonly StorageName _name;
    // Used only by FindParkedAsync, which one thread at a time calls.
    private readonly ParkedJobs _parked = new();
    private volatile string? _id;
    private long _readAtTicks;

    private HangfireRuns(JobStorage storage)
    {
        _storage = storage;
        _servers = new(storage);
        _name = new(storage);
    }

    public string? Id => _id;

    /// <summary>The servers of this process that work on the storage.</summary>
    public LocalServers Servers => _servers;

    public IReadOnlyList<WorkerPool> FreeWorkers => _servers.FreeWorkers;

    public int RoomToWait(double share) => _servers.RoomToWait(share);

    public Action WorkerFreed
    {
        set => _servers.WorkerFreed = value;
    }

    /// <summary>
    /// Whether the storage is Hangfire.InMemory or Hangfire.MemoryStorage, whose jobs end with the process. Known by type name: JobLocks references neither
    /// package.
    /// </summary>
    private bool IsInMemory => _storage.GetType().Name is "InMemoryStorage" or "MemoryStorage";

    private string Prefix => $"{(IsInMemory ? VolatileStore.Prefix : "")}Hangfire ";

    /// <summary>The instance of a storage.</summary>
    public static HangfireRuns Of(JobStorage storage) => OfStorages.GetValue(storage, static storage => new(storage));

    /// <summary>
    /// The id: a prefix and the name that is kept in the storage itself, since two connection strings may lead to the same storage. Reads it only if it is not known yet.
    /// </summary>
    public string Identify() => _id ?? ReadId();

    /// <summary>As <see cref="Identify"/>, but null if the storage cannot be asked.</summary>
    public string? TryIdentify()
    {
        try
        {
            return Identify();
        }
        catch (Exception)
        {
            // The next run asks again. Callers that need the name report the error.
            return null;
        }
    }

    /// <summary>
    /// As <see cref="Identify"/>, but reads the name again after five seconds: the storage may be cleared or restored while the process runs.
    /// </summary>
    public ValueTask<string> IdentifyAsync(CancellationToken stop) => new(_id is { } known && BootClock.Now.Ticks - Volatile.Read(ref _readAtTicks) < BetweenReads.Ticks ? known : ReadId());

    public ValueTask<bool> CanStartRunsAsync(CancellationToken stop)
    {
        using var noTransaction = AmbientTransaction.Suppress();
        return new(_servers.Any());
    }

    public void RequeryStore() => IdleWorkers.SignalQueues(_storage, FreeWorkers.Where(static pool => pool.Free > 0).SelectMany(static pool => pool.Queues ?? [EnqueuedState.DefaultQueue]));

    public ValueTask<IReadOnlyList<ParkedRunState>> GetStatesAsync(IReadOnlyList<WaitingRun> runs, CancellationToken stop)
    {
        using var noTransaction = AmbientTransaction.Suppress();
        if (JobStatesInPostgres.Read(_storage, runs) is { } states) return new([.. states.Select(static job => StateOf(job.State, job.IsInSchedule))]);

        using var connection = _storage.GetConnection();
        return new([.. runs.Select(run => ReadState(connection, run))]);
    }

    /// <summary>
    /// Puts the jobs into their queues, as Hangfire does with a scheduled job that is due. Their state stays Scheduled until a worker fetches them. A job
    /// that is deleted meanwhile is not fetched. Hangfire's own lock on the job is not acquired: a worker that finds it held would sleep for a second.
    /// </summary>
    public ValueTask<IReadOnlyList<ParkedRunState>> WakeAsync(IReadOnlyList<WaitingRun> runs, CancellationToken stop)
    {
        using var noTransaction = AmbientTransaction.Suppress();
        using var connection = _storage.GetConnection();
        return new([.. runs.Zip(StatesBeforeWake(connection, runs), (run, state) => state is ParkedRunState.Parked or ParkedRunState.Rescheduled ? Wake(connection, run) : state)]);
    }

    private IEnumerable<ParkedRunState> StatesBeforeWake(IStorageConnection connection, IReadOnlyList<WaitingRun> runs) => JobStatesInPostgres.Read(_storage, runs) is { } states
        ? runs.Zip(states, static (run, job) => StateOf(job.State, job.IsInSchedule || !NeedsSchedule(run)))
        : runs.Select(run => NeedsSchedule(run) ? ReadState(connection, run) : StateOf(StateOf(connection, run)));

    /// <summary>
    /// Whether the schedule must be read before a wake. For a run with an entry, the claim of the entry prevents a second wake. Without an entry, another
    /// process may have woken it.
    /// </summary>
    private static bool NeedsSchedule(WaitingRun run) => run.Number == 0;

    /// <summary>Wakes one run in its own transaction: a storage notifies one idle worker for each commit, however many jobs the transaction enqueues.</summary>
    private static ParkedRunState Wake(IStorageConnection connection, WaitingRun run)
    {
        var (id, queue) = (IdOf(run), run.Address.Queue);
        using var transaction = connection.CreateWriteTransaction();
        // Without this, the job would become due while it is still in the queue, and be enqueued twice.
        transaction.RemoveFromSet(ScheduledSet, id);
        transaction.RemoveFromSet(ScheduledSet, $"{queue}:{id}");
        transaction.AddToQueue(queue, id);
        if (run.IsTooLate) throw new TimeoutException("The storage answered too late to wake the run here: another process may have woken it.");

        transaction.Commit();
        return ParkedRunState.Starting;
    }

    public ValueTask<OtherStoreIds> FindOtherIdsAsync(CancellationToken stop)
    {
        ReadId();
        return new(new OtherStoreIds(Aliases: [], [Prefix + _name.RandomPart]));
    }

    private string ReadId()
    {
        _id = Prefix + _name.Read();
        Volatile.Write(ref _readAtTicks, BootClock.Now.Ticks);
        return _id;
    }

    public ValueTask<ParkedRuns> FindParkedAsync(string? from, CancellationToken stop)
    {
        using var noTransaction = AmbientTransaction.Suppress();
        using var connection = _storage.GetConnection();
        return new(connection is JobStorageConnection schedule ? _parked.Page(schedule, AddressOf, from) : ParkedRuns.None);
    }

    /// <summary>
    /// The address under which a run of the storage is found. A storage in memory returns a different creation time with each read. Its ids are not used
    /// again, since the storage ends with its process.
    /// </summary>
    public RunAddress AddressOf(string job, DateTime createdAt, string queue) =>
        new(Identify(), IsInMemory ? job : JobIdentity.Of(job, createdAt).ToString(), queue) { Job = job };

    private static string IdOf(WaitingRun run) => JobIdentity.Parse(run.Address.Run).Id;

    /// <summary>The state of one run, read through Hangfire's storage interface.</summary>
    public static ParkedRunState ReadState(IStorageConnection connection, WaitingRun run)
    {
        var state = StateOf(connection, run);
        return StateOf(state, StateOf(state) is not (ParkedRunState.Parked or ParkedRunState.Rescheduled) || IsInSchedule(connection, IdOf(run), state!));
    }

    private static StateData? StateOf(IStorageConnection connection, WaitingRun run)
    {
        var job = JobIdentity.Parse(run.Address.Run);
        return connection.GetJobData(job.Id) is { } found && job.Matches(found.CreatedAt) ? connection.GetStateData(job.Id) : null;
    }

    private static bool IsInSchedule(IStorageConnection connection, string id, StateData state)
    {
        if (connection is not JobStorageConnection schedule || !state.Data.TryGetValue(nameof(ScheduledState.EnqueueAt), out var enqueueAt)) return true;

        var due = JobHelper.ToTimestamp(JobHelper.DeserializeDateTime(enqueueAt));
        return schedule.GetFirstByLowestScoreFromSet(ScheduledSet, due, due, MostDueAtOnce)
            .Exists(entry => string.Equals(entry, id, StringComparison.Ordinal) || entry.EndsWith($":{id}", StringComparison.Ordinal));
    }

    /// <summary>A woken run that no worker has fetched yet is still in the state Scheduled, but no longer in the schedule.</summary>
    private static ParkedRunState StateOf(StateData? data, bool isInSchedule) => StateOf(data) is var state && state is ParkedRunState.Parked or ParkedRunState.Rescheduled && !isInSchedule ? ParkedRunState.StartingAnywhere : state;

    private static ParkedRunState StateOf(StateData? state) => state?.Name switch
    {
        { } name when Is(name, ScheduledState.StateName) && state.Reason is { } reason =>
            reason.StartsWith(JobGate.WaitReason, StringComparison.Ordinal) ? ParkedRunState.Parked
            : reason.StartsWith(JobGate.RescheduledReason, StringComparison.Ordinal) ? ParkedRunState.Rescheduled
            : ParkedRunState.Gone,
        { } name when Is(name, EnqueuedState.StateName) => ParkedRunState.Starting,
        { } name when Is(name, ProcessingState.StateName) => ParkedRunState.Started,
        _ => ParkedRunState.Gone,
    };

    private static bool Is(string name, string state) => string.Equals(name, state, StringComparison.OrdinalIgnoreCase);
}
