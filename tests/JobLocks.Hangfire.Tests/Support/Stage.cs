using System.Collections.Concurrent;

namespace JobLocks.Hangfire.Tests.Support;

/// <summary>
/// Where the runs of a test meet it: they tell when they enter and leave, and stay until they may leave. Found by an id
/// that jobs take as an argument, since they come out of a store. Thread-safe.
/// </summary>
internal sealed class Stage
{
    private static readonly ConcurrentDictionary<string, Stage> Stages = new(StringComparer.Ordinal);

    private readonly TaskCompletionSource _mayLeave = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Lock _sync = new();
    private readonly HashSet<Entry> _present = [];

    private Stage(string id) => Id = id;

    public string Id { get; }

    /// <summary>The name that the jobs of <see cref="Support"/> lock on.</summary>
    public string LockName => $"sync({Id})";

    public LockKey Key => LockKey.Of(LockName);

    public Journal<Entry> Entries { get; } = new();

    public Journal<Entry> Exits { get; } = new();

    public int Runs => Entries.Entries.Count;

    /// <summary>How many runs were ever here at once that had not been told that their lock is lost.</summary>
    public int MostAtOnce { get; private set; }

    public static Stage Open()
    {
        var stage = new Stage(Guid.NewGuid().ToString());
        Stages[stage.Id] = stage;
        return stage;
    }

    public static Stage Of(string id) => Stages[id];

    public Task<Entry> EnteredAsync(CancellationToken stop, int nth = 1, TimeSpan? atMost = null) => Entries.NextAsync(static _ => true, stop, nth, atMost);

    public Task<Entry> LeftAsync(CancellationToken stop, int nth = 1) => Exits.NextAsync(static _ => true, stop, nth);

    /// <summary>Lets those leave that are here and those that will come.</summary>
    public void LetLeave() => _mayLeave.TrySetResult();

    /// <summary>A run, until it may leave or is told to stop.</summary>
    public Task PlayAsync(CancellationToken stop = default) => PlayAsync(0, stop);

    /// <summary>The same for one of several runs that are told apart.</summary>
    public async Task PlayAsync(int number, CancellationToken stop = default)
    {
        var entry = Enter(number);
        try
        {
            await Task.WhenAny(_mayLeave.Task, entry.MayLeave).WaitAsync(stop);
        }
        finally
        {
            Leave(entry);
        }
    }

    /// <summary>A run that throws when its lock is lost.</summary>
    public Task PlayWhileLockedAsync() => PlayAsync(JobLockHandle.Current!.Lost);

    /// <summary>A run that goes on after its lock is lost: it was told, so others may come.</summary>
    public async Task PlayOnAsync()
    {
        var entry = Enter();
        await using var told = entry.Handle!.Lost.Register(() => Leave(entry));
        await _mayLeave.Task;
        Leave(entry);
    }

    /// <summary>A run that leaves at once.</summary>
    public void Pass(int number = 0) => Leave(Enter(number));

    private Entry Enter(int number = 0)
    {
        var entry = new Entry(JobLockHandle.Current, number);
        lock (_sync)
        {
            _present.Add(entry);
            MostAtOnce = Math.Max(MostAtOnce, _present.Count);
        }

        Entries.Add(entry);
        return entry;
    }

    private void Leave(Entry entry)
    {
        lock (_sync)
        {
            if (!_present.Remove(entry)) return;
        }

        Exits.Add(entry);
    }

    /// <summary>One run, and what it finds as its own lock.</summary>
    internal sealed class Entry(JobLockHandle? handle, int number)
    {
        private readonly TaskCompletionSource _mayLeave = new(TaskCreationOptions.RunContinuationsAsynchronously);

        /// <summary>Which of the runs it is, where they are told apart.</summary>
        public int Number => number;

        public JobLockHandle? Handle => handle;

        public Task MayLeave => _mayLeave.Task;

        /// <summary>Lets this run leave, and no other.</summary>
        public void LetLeave() => _mayLeave.TrySetResult();
    }
}
