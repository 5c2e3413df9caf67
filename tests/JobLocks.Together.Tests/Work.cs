using System.Collections.Concurrent;
using System.Threading.Channels;

namespace JobLocks.Together.Tests;

/// <summary>What both jobs do for a client: say that they are in, and stay until the test lets them go.</summary>
internal sealed class Work
{
    private static readonly ConcurrentDictionary<string, Work> All = new(StringComparer.Ordinal);

    private readonly TaskCompletionSource<string> _entered = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _mayLeave = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Channel<string> _came = Channel.CreateUnbounded<string>();
    private readonly ConcurrentQueue<string> _runs = new();

    public string Client { get; } = Guid.NewGuid().ToString("N");

    /// <summary>Which scheduler's run came first.</summary>
    public Task<string> Entered => _entered.Task;

    public IReadOnlyCollection<string> Runs => _runs;

    /// <summary>The lock of it.</summary>
    public string LockName => $"sync({Client})";

    /// <summary>The next run that has come, in order.</summary>
    public Task<string> NextAsync(CancellationToken stop) => _came.Reader.ReadAsync(stop).AsTask();

    public static Work Begin()
    {
        var work = new Work();
        All[work.Client] = work;
        return work;
    }

    public static Task DoAsync(string client, string scheduler)
    {
        var work = All[client];
        work._runs.Enqueue(scheduler);
        work._came.Writer.TryWrite(scheduler);
        work._entered.TrySetResult(scheduler);
        return work._mayLeave.Task;
    }

    public void LetLeave() => _mayLeave.TrySetResult();
}
