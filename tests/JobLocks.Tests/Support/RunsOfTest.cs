using System.Collections.Concurrent;
using System.Threading.Channels;
using JobLocks.WaitQueue;

namespace JobLocks.Tests.Support;

/// <summary>A store of a scheduler as simple as can be: it keeps nothing, and says which runs it was told to start. Thread-safe.</summary>
internal sealed class RunsOfTest : IRunStore
{
    private readonly Channel<WaitingRun> _woken = Channel.CreateUnbounded<WaitingRun>();
    private readonly ConcurrentDictionary<string, bool> _started = new(StringComparer.Ordinal);
    private int _count;
    private int _askedForWorkers;
    private int _sweeps;
    private volatile IReadOnlyList<WorkerPool> _freeWorkers = [new(Queues: null, int.MaxValue)];

    public string Id { get; set; } = $"Test {Guid.NewGuid():N}";

    /// <summary>How often a run was started.</summary>
    public int Woken => _count;

    /// <summary>What it says of a run.</summary>
    public Func<WaitingRun, ParkedRunState> State { get; set; } = static _ => ParkedRunState.Parked;

    /// <summary>Whether it starts runs and its answer is lost.</summary>
    public bool LosesNextAnswer { get; set; }

    /// <summary>How long it takes to start a run.</summary>
    public TimeSpan Takes { get; init; }

    /// <summary>Whether its scheduler works.</summary>
    public bool CanStart { get; set; } = true;

    /// <summary>Its free workers.</summary>
    public IReadOnlyList<WorkerPool> FreeWorkers
    {
        get
        {
            Interlocked.Increment(ref _askedForWorkers);
            return _freeWorkers;
        }
        set => _freeWorkers = value;
    }

    /// <summary>How many runs may wait in workers.</summary>
    public int Room { get; set; }

    public int RoomToWait(double share) => Room;

    /// <summary>How often it was asked for its free workers.</summary>
    public int AskedForWorkers => _askedForWorkers;

    public Action WorkerFreed { get; set; } = static () => { };

    /// <summary>For each question after the state of runs, how many runs it was about.</summary>
    public ConcurrentQueue<int> Questions { get; } = [];

    /// <summary>What it has parked.</summary>
    public IReadOnlyList<RunAddress> Parked { get; set; } = [];

    /// <summary>How often it was told too late.</summary>
    public int TooLate { get; private set; }

    /// <summary>The next run that was started.</summary>
    public Task<WaitingRun> NextAsync(CancellationToken stop) => _woken.Reader.ReadAsync(stop).AsTask().WaitAsync(TimeSpan.FromSeconds(30), stop);

    public ValueTask<string> IdentifyAsync(CancellationToken stop) => new(Id);

    /// <summary>How often a sweep began.</summary>
    public int Sweeps => _sweeps;

    public ValueTask<bool> CanStartRunsAsync(CancellationToken stop)
    {
        Interlocked.Increment(ref _sweeps);
        return new(CanStart);
    }

    public ValueTask<IReadOnlyList<ParkedRunState>> GetStatesAsync(IReadOnlyList<WaitingRun> runs, CancellationToken stop)
    {
        Questions.Enqueue(runs.Count);
        return new([.. runs.Select(run => State(run) is var state && state == ParkedRunState.Parked && _started.ContainsKey(run.Address.Run) ? ParkedRunState.Starting : state)]);
    }

    public async ValueTask<IReadOnlyList<ParkedRunState>> WakeAsync(IReadOnlyList<WaitingRun> runs, CancellationToken stop)
    {
        var states = new List<ParkedRunState>();
        foreach (var run in runs)
        {
            var state = State(run);
            states.Add(state == ParkedRunState.Parked ? ParkedRunState.Starting : state);
            if (state != ParkedRunState.Parked) continue;

            if (Takes > TimeSpan.Zero) await Task.Delay(Takes, stop);
            if (run.IsTooLate)
            {
                TooLate++;
                throw new TimeoutException("It is for a sweep by now.");
            }

            Interlocked.Increment(ref _count);
            _started[run.Address.Run] = true;
            _woken.Writer.TryWrite(run);
        }

        if (!LosesNextAnswer) return states;

        LosesNextAnswer = false;
        throw new InvalidOperationException("The answer is lost.");
    }

    public ValueTask<ParkedRuns> FindParkedAsync(string? from, CancellationToken stop) => new(new ParkedRuns([.. Parked.Select(static run => (run, TimeSpan.Zero))], null));
}
