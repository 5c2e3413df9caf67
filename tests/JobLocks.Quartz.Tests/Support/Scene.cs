using System.Collections.Concurrent;
using System.Threading.Channels;
using Quartz;

namespace JobLocks.Quartz.Tests.Support;

/// <summary>What the jobs of one test do. A job finds its scene by the entry <c>scene</c> of its data.</summary>
internal sealed class Scene : IDisposable
{
    public const string Key = "scene";

    private static readonly ConcurrentDictionary<string, Scene> Scenes = new(StringComparer.Ordinal);

    private readonly Channel<Run> _runs = Channel.CreateUnbounded<Run>();
    private int _atOnce;
    private int _begun;

    public Scene() => Scenes[Id] = this;

    public string Id { get; } = Guid.NewGuid().ToString("N");

    /// <summary>The name under which the jobs here are locked.</summary>
    public string LockName => $"scene({Id})";

    /// <summary>How many runs have begun.</summary>
    public int Begun => _begun;

    /// <summary>The most runs that were going on at the same time.</summary>
    public int MostAtOnce { get; private set; }

    /// <summary>What a run does until it ends.</summary>
    public Func<Run, Task> Act { get; set; } = static _ => Task.CompletedTask;

    /// <summary>The next run that has begun.</summary>
    public Task<Run> NextRunAsync() => NextRunAsync(Eventually.Patience);

    /// <summary>The same where a run may be rescheduled several times before it begins.</summary>
    public Task<Run> NextRunAsync(TimeSpan atMost) => _runs.Reader.ReadAsync().AsTask().WaitAsync(atMost);

    public void Dispose() => Scenes.TryRemove(Id, out _);

    public static async ValueTask PlayAsync(IJobExecutionContext context, CancellationToken stop)
    {
        var scene = Scenes[(string)context.MergedJobDataMap[Key]!];
        Interlocked.Increment(ref scene._begun);
        lock (scene._runs) scene.MostAtOnce = Math.Max(scene.MostAtOnce, ++scene._atOnce);
        var run = new Run(context, JobLockHandle.Current, stop);
        scene._runs.Writer.TryWrite(run);
        try
        {
            await scene.Act(run);
        }
        finally
        {
            lock (scene._runs) scene._atOnce--;
        }
    }
}

/// <summary>One run as its job saw it.</summary>
internal sealed record Run(IJobExecutionContext Context, JobLockHandle? Handle, CancellationToken Stop)
{
    private readonly TaskCompletionSource _mayLeave = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>For <see cref="Scene.Act"/>: until the test says so.</summary>
    public Task UntilToldAsync() => _mayLeave.Task;

    /// <summary>For <see cref="Scene.Act"/>: until the test says so, or the run is interrupted.</summary>
    public Task UntilToldOrStoppedAsync() => _mayLeave.Task.WaitAsync(Stop);

    public void Leave() => _mayLeave.TrySetResult();

    public void Leave(Exception thrown) => _mayLeave.TrySetException(thrown);
}
