using JobLocks.WaitQueue;

namespace JobLocks.InMemory.WaitQueue;

/// <summary>
/// Finds states that no event reports: a run that has waited for as long as it may, a woken run that has not started in time, a scheduler that was stopped or
/// started, a run that was deleted in its store, a store that failed. A timer starts a sweep while runs wait, and no thread waits meanwhile. Thread-safe.
/// </summary>
internal sealed class MemorySweep : IDisposable
{
    private const int MostAsked = 100;

    // How long a woken run has to start, and an enqueued run to be parked, before its store is asked about it.
    private static readonly TimeSpan UsualStart = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan UsualParking = TimeSpan.FromSeconds(2);

    private readonly MemoryDispatcher _dispatcher;
    private readonly MemoryWakeDelivery _delivery;
    private readonly BackgroundWork _work;
    private readonly JobLocksOptions _options;
    private readonly TimeProvider _clock;
    private readonly ITimer _timer;
    private readonly Dictionary<string, long> _lastAskedAbout = new(StringComparer.Ordinal);
    private long _startedAt;
    private bool _isScheduled;

    public MemorySweep(MemoryDispatcher dispatcher, MemoryWakeDelivery delivery, BackgroundWork work, JobLocksOptions options, TimeProvider clock)
    {
        _dispatcher = dispatcher;
        _delivery = delivery;
        _work = work;
        _options = options;
        _clock = clock;
        _timer = clock.CreateTimer(_ => work.Add(StartAsync), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Schedules the next sweep, unless one is scheduled.</summary>
    public void Schedule()
    {
        if (!Interlocked.Exchange(ref _isScheduled, true)) _timer.Change(_options.SweepInterval, Timeout.InfiniteTimeSpan);
    }

    public void Dispose() => _timer.Dispose();

    /// <summary>Sweeps one store. A store for which no scheduler of this process works is not served from now on.</summary>
    public async Task SweepAsync(IRunStore store)
    {
        var id = await store.IdentifyAsync(CancellationToken.None).ConfigureAwait(false);
        var canStart = await store.CanStartRunsAsync(CancellationToken.None).ConfigureAwait(false);
        _dispatcher.ChangeThenGrantAndWake(() =>
        {
            if (!_dispatcher.Stores.Contains(store)) return [];

            if (_dispatcher.Stores.Rename(store, id) is { } formerId) _dispatcher.Queue.RenameStore(formerId, id);
            if (canStart) _dispatcher.Stores.Announce(id);
            else _dispatcher.Stores.Withdraw(id);
            if (canStart) WakeOverdue(id);
            return _dispatcher.Queue.Keys;
        });
        if (canStart) await AskAboutRunsAsync(store, id).ConfigureAwait(false);
    }

    /// <summary>Sweeps each store as a separate piece of work, so that a store that fails does not prevent the sweep of the others.</summary>
    private Task StartAsync()
    {
        _startedAt = _clock.GetTimestamp();
        foreach (var store in _dispatcher.Read(() => _dispatcher.Stores.All)) _work.Add(() => SweepAsync(store));
        _work.Add(EndAsync);
        return Task.CompletedTask;
    }

    private Task EndAsync()
    {
        var startedAt = _startedAt;
        Volatile.Write(ref _isScheduled, false);
        // Schedules the next sweep where runs still wait.
        _dispatcher.ChangeThenGrantAndWake(static () => []);
        // A test moves its clock by hours while a sweep runs. What is due then must not wait until the test moves the clock again.
        if (Volatile.Read(ref _isScheduled) && _clock.GetElapsedTime(startedAt) >= _options.SweepInterval) _work.Add(StartAsync);
        return Task.CompletedTask;
    }

    private void WakeOverdue(string store)
    {
        var now = _dispatcher.UtcNow;
        foreach (var entry in _dispatcher.Queue.All.Where(entry => !entry.IsWoken && entry.IsOverdue(now) && IsOf(entry, store)).ToList()) _dispatcher.Queue.Wake(entry);
    }

    /// <summary>Asks a store about the next of its runs: whether those that wait exist, and whether those that were woken start.</summary>
    private async Task AskAboutRunsAsync(IRunStore store, string id)
    {
        var (runs, woken) = _dispatcher.Read(() => NextPage(id));
        if (runs.Count == 0) return;

        var states = await _delivery.AskAsync(
            runs,
            all => store.GetStatesAsync(all, CancellationToken.None),
            async run => (await store.GetStatesAsync([run], CancellationToken.None).ConfigureAwait(false))[0]).ConfigureAwait(false);
        _delivery.Apply(states);
        _dispatcher.ChangeThenGrantAndWake(() =>
        {
            foreach (var (run, _) in states.Where(static answer => answer.State is ParkedRunState.Parked or ParkedRunState.Rescheduled))
            {
                // An entry that has changed meanwhile was entered anew.
                var wasWoken = woken.Contains(run.Number);
                if (_dispatcher.Queue.Find(run.Number) is not { } entry || entry.IsWoken != wasWoken) continue;

                // The run was not recorded as parked, or its store has not started it although it was woken.
                (entry.IsParked, entry.IsDelivered) = (true, entry.IsDelivered && !wasWoken);
            }

            return RemoveLeftovers(states);
        });
    }

    /// <summary>Removes leftover entries: their store reports for some time that their runs have started. Demands the mutex.</summary>
    private List<LockKey> RemoveLeftovers(IEnumerable<(WaitingRun Run, ParkedRunState State)> states)
    {
        var now = _dispatcher.UtcNow;
        var keys = new List<LockKey>();
        foreach (var (run, state) in states)
        {
            if (_dispatcher.Queue.Find(run.Number) is not { } entry) continue;

            entry.StartedSince = state == ParkedRunState.Started && entry.IsParked ? entry.StartedSince ?? now : null;
            // A filter of the user may keep a woken run from the gate for a while.
            if (entry.StartedSince is not { } since || now - since < (entry.IsWoken ? _options.WakeTimeout : UsualStart)) continue;

            _dispatcher.Queue.Remove(entry);
            keys.Add(entry.Key);
        }

        return keys;
    }

    /// <summary>The next runs of a store to ask about, and the numbers of those that were woken.</summary>
    private (List<WaitingRun> Runs, HashSet<long> Woken) NextPage(string store)
    {
        var now = _dispatcher.UtcNow;
        var page = _dispatcher.Queue.All
            .Where(entry => entry.Number > _lastAskedAbout.GetValueOrDefault(store) && IsOf(entry, store) && IsToBeAskedAbout(entry, now))
            .Take(MostAsked)
            .ToList();
        _lastAskedAbout[store] = page.Count < MostAsked ? 0 : page[^1].Number;
        return (page.ConvertAll(entry => MemoryRuns.AsWaiting(entry, now)), [.. page.Where(static entry => entry.IsWoken).Select(static entry => entry.Number)]);
    }

    private static bool IsToBeAskedAbout(MemoryQueueEntry entry, DateTimeOffset now) => entry.State switch
    {
        MemoryQueueEntry.Wake.None => entry.Since < now - UsualParking,
        _ => entry.WokenAt < now - (entry.IsParked ? UsualStart : UsualParking),
    };

    private static bool IsOf(MemoryQueueEntry entry, string store) => string.Equals(entry.Store, store, StringComparison.Ordinal);
}
