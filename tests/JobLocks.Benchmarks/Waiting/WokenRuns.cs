using System.Threading.Channels;
using JobLocks.WaitQueue;

namespace JobLocks.Benchmarks.Waiting;

/// <summary>A store that starts nothing and only says when it was told to: what is measured is the line, and no scheduler.</summary>
internal sealed class WokenRuns : IRunStore
{
    private readonly Channel<WaitingRun> _woken = Channel.CreateUnbounded<WaitingRun>();

    public string Id { get; } = $"Benchmark {Guid.NewGuid():N}";

    /// <summary>The next run that was woken.</summary>
    public ValueTask<WaitingRun> NextAsync(CancellationToken stop) => _woken.Reader.ReadAsync(stop);

    public ValueTask<string> IdentifyAsync(CancellationToken stop) => new(Id);

    public IReadOnlyList<WorkerPool> FreeWorkers { get; } = [new(Queues: null, int.MaxValue)];

    public Action WorkerFreed { get; set; } = static () => { };

    public ValueTask<bool> CanStartRunsAsync(CancellationToken stop) => new(true);

    public ValueTask<IReadOnlyList<ParkedRunState>> GetStatesAsync(IReadOnlyList<WaitingRun> runs, CancellationToken stop) => new([.. runs.Select(static _ => ParkedRunState.Parked)]);

    public ValueTask<IReadOnlyList<ParkedRunState>> WakeAsync(IReadOnlyList<WaitingRun> runs, CancellationToken stop)
    {
        foreach (var run in runs) _woken.Writer.TryWrite(run);
        return new([.. runs.Select(static _ => ParkedRunState.Starting)]);
    }

    public ValueTask<ParkedRuns> FindParkedAsync(string? from, CancellationToken stop) => new(ParkedRuns.None);
}
