using System.Runtime.CompilerServices;
using Hangfire;
using Hangfire.Common;
using Hangfire.States;
using Hangfire.Storage;
using JobLocks.Gate;
using JobLocks.Primitives;
using JobLocks.WaitQueue;

namespace JobLocks.Hangfire;

/// <summary>The runs of a Hangfire storage that wait in the line: parked as scheduled, for a time so late that nobody reckons with it. Thread-safe.</summary>
internal sealed class HangfireRuns : IRunStore
{
    /// <summary>Hangfire's own set of jobs that are scheduled.</summary>
    public const string ScheduledSet = "schedule";

    // The schedule knows seconds.
    private const int MostDueAtOnce = 10_000;

    private static readonly TimeSpan BetweenReads = TimeSpan.FromSeconds(5);
    private static readonly ConditionalWeakTable<JobStorage, HangfireRuns> OfStorages = [];

    private readonly JobStorage _storage;
    private readonly ServersHere _servers;
    private readonly StorageName _name;
    private readonly ParkedJobs _parked = new();
    private volatile string? _id;
    private TimeSpan _readAt;

    private HangfireRuns(JobStorage storage)
    {
        _storage = storage;
        _servers = new(storage);
        _name = new(storage);
    }

    public string? Id => _id;

    /// <summary>Who works on the storage here.</summary>
    public ServersHere Servers => _servers;

    public IReadOnlyList<WorkerPool> FreeWorkers => _servers.FreeWorkers;

    public Action WorkerFreed
    {
        set => _servers.WorkerFreed = value;
    }

    /// <summary>Hangfire.InMemory and Hangfire.MemoryStorage, which are no packages of ours: their jobs are gone with the process.</summary>
    private bool IsInMemory => _storage.GetType().Name is "InMemoryStorage" or "MemoryStorage";

    private string Prefix => $"{(IsInMemory ? VolatileStore.Prefix : "")}Hangfire ";

    /// <summary>The one of a storage.</summary>
    public static HangfireRuns Of(JobStorage storage) => OfStorages.GetValue(storage, static storage => new(storage));

    /// <summary>The storage's own name: two connection strings may lead to one storage.</summary>
    public string Identify() => _id ?? ReadName();

    /// <summary>The same for those who only look; null where the storage cannot say it.</summary>
    public string? TryIdentify()
    {
        try
        {
            return Identify();
        }
        catch (Exception)
        {
            // Asked again with the next run. What depends on the name says what is wrong.
            return null;
        }
    }

    /// <summary>The storage may be cleared or restored under a running process.</summary>
    public ValueTask<string> IdentifyAsync(CancellationToken stop) => new(_id is { } known && BootClock.Now - _readAt < BetweenReads ? known : ReadName());

    public ValueTask<bool> CanStartRunsAsync(CancellationToken stop)
    {
        using var outside = AmbientTransaction.Leave();
        return new(_servers.Any());
    }

    public void LookAgain() => IdleWorkers.LookAt(_storage, FreeWorkers.Where(static pool => pool.Free > 0).SelectMany(static pool => pool.Queues ?? [EnqueuedState.DefaultQueue]));

    public ValueTask<IReadOnlyList<RunFate>> LookAsync(IReadOnlyList<WaitingRun> runs, CancellationToken stop)
    {
        using var outside = AmbientTransaction.Leave();
        if (JobStatesInPostgres.Read(_storage, runs) is { } states) return new([.. states.Select(static of => FateOf(of.State, of.IsInSchedule))]);

        using var connection = _storage.GetConnection();
        return new([.. runs.Select(run => LookAt(connection, run))]);
    }

    /// <summary>
    /// Puts them into their queues, as Hangfire itself does with a scheduled job whose time has come. Their state stays until a worker takes
    /// them: one that is deleted meanwhile is simply not taken. Nor is the job's own lock held, for which a worker would sleep a second.
    /// </summary>
    public ValueTask<IReadOnlyList<RunFate>> WakeAsync(IReadOnlyList<WaitingRun> runs, CancellationToken stop)
    {
        using var outside = AmbientTransaction.Leave();
        using var connection = _storage.GetConnection();
        return new([.. runs.Zip(FatesBeforeWake(connection, runs), (run, fate) => fate is RunFate.Waits or RunFate.IsPutOff ? Wake(connection, run) : fate)]);
    }

    private IEnumerable<RunFate> FatesBeforeWake(IStorageConnection connection, IReadOnlyList<WaitingRun> runs) => JobStatesInPostgres.Read(_storage, runs) is { } states
        ? runs.Zip(states, static (run, of) => FateOf(of.State, of.IsInSchedule || !NeedsSchedule(run)))
        : runs.Select(run => NeedsSchedule(run) ? LookAt(connection, run) : FateOf(StateOf(connection, run)));

    /// <summary>A run without an entry in the wait queue may have one again, and be woken by another process.</summary>
    private static bool NeedsSchedule(WaitingRun run) => run.Place == 0;

    /// <summary>In a transaction of its own: a storage tells one idle worker of each that is committed, however many jobs it puts into a queue.</summary>
    private static RunFate Wake(IStorageConnection connection, WaitingRun run)
    {
        var (id, queue) = (IdOf(run), run.Address.Queue);
        using var transaction = connection.CreateWriteTransaction();
        // Or its time would come as well, while it is still in the queue.
        transaction.RemoveFromSet(ScheduledSet, id);
        transaction.RemoveFromSet(ScheduledSet, $"{queue}:{id}");
        transaction.AddToQueue(queue, id);
        if (run.IsTooLate) throw new TimeoutException("The storage took long to say where the runs are: another process may be waking them.");

        transaction.Commit();
        return RunFate.Comes;
    }

    public ValueTask<EarlierNames> FindNamesAsync(CancellationToken stop)
    {
        ReadName();
        return new(new EarlierNames(Same: [], [Prefix + _name.Mark]));
    }

    private string ReadName()
    {
        _id = Prefix + _name.Read();
        _readAt = BootClock.Now;
        return _id;
    }

    public ValueTask<ParkedRuns> FindParkedAsync(string? from, CancellationToken stop)
    {
        using var outside = AmbientTransaction.Leave();
        using var connection = _storage.GetConnection();
        return new(connection is JobStorageConnection schedule ? _parked.Page(schedule, AddressOf, from) : ParkedRuns.None);
    }

    /// <summary>The address of a run. A storage in memory gives another creation time with each read, and ends with its process, so that its ids do not come again.</summary>
    public RunAddress AddressOf(string job, DateTime createdAt, string queue) =>
        new(Identify(), IsInMemory ? job : JobIdentity.Of(job, createdAt).ToString(), queue) { Job = job };

    private static string IdOf(WaitingRun run) => JobIdentity.Parse(run.Address.Run).Id;

    /// <summary>The fate of one run, by Hangfire's own questions.</summary>
    public static RunFate LookAt(IStorageConnection connection, WaitingRun run)
    {
        var state = StateOf(connection, run);
        return FateOf(state, FateOf(state) is not (RunFate.Waits or RunFate.IsPutOff) || IsInSchedule(connection, IdOf(run), state!));
    }

    private static StateData? StateOf(IStorageConnection connection, WaitingRun run)
    {
        var job = JobIdentity.Parse(run.Address.Run);
        return connection.GetJobData(job.Id) is { } found && job.IsThatOf(found.CreatedAt) ? connection.GetStateData(job.Id) : null;
    }

    private static bool IsInSchedule(IStorageConnection connection, string id, StateData state)
    {
        if (connection is not JobStorageConnection schedule || !state.Data.TryGetValue(nameof(ScheduledState.EnqueueAt), out var enqueueAt)) return true;

        var due = JobHelper.ToTimestamp(JobHelper.DeserializeDateTime(enqueueAt));
        return schedule.GetFirstByLowestScoreFromSet(ScheduledSet, due, due, MostDueAtOnce)
            .Exists(entry => string.Equals(entry, id, StringComparison.Ordinal) || entry.EndsWith($":{id}", StringComparison.Ordinal));
    }

    /// <summary>A woken run that no worker has taken yet is still in the state Scheduled, but no longer in the schedule.</summary>
    private static RunFate FateOf(StateData? state, bool isInSchedule) => FateOf(state) is var fate && fate is RunFate.Waits or RunFate.IsPutOff && !isInSchedule ? RunFate.ComesElsewhere : fate;

    private static RunFate FateOf(StateData? state) => state?.Name switch
    {
        { } name when Is(name, ScheduledState.StateName) && state.Reason is { } reason =>
            reason.StartsWith(JobGate.WaitReason, StringComparison.Ordinal) ? RunFate.Waits
            : reason.StartsWith(JobGate.PutOffReason, StringComparison.Ordinal) ? RunFate.IsPutOff
            : RunFate.IsGone,
        { } name when Is(name, EnqueuedState.StateName) || Is(name, ProcessingState.StateName) => RunFate.Comes,
        _ => RunFate.IsGone,
    };

    private static bool Is(string name, string state) => string.Equals(name, state, StringComparison.OrdinalIgnoreCase);
}
