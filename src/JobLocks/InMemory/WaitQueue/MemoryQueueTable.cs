using JobLocks.Locks;
using JobLocks.WaitQueue;

namespace JobLocks.InMemory.WaitQueue;

/// <summary>
/// The entries of the wait queue, and which of them precede others. Not thread-safe: used under the mutex of the <see cref="MemoryDispatcher"/>.
/// </summary>
internal sealed class MemoryQueueTable(MemoryRunStores stores, JobLocksOptions options, TimeProvider clock)
{
    private static readonly TimeSpan WakeTimeoutInWorker = TimeSpan.FromSeconds(5);

    private readonly SortedDictionary<long, MemoryQueueEntry> _byNumber = [];
    private readonly Dictionary<(string Store, string Run), MemoryQueueEntry> _byRun = [];
    private readonly Dictionary<LockKey, SortedDictionary<long, MemoryQueueEntry>> _byKey = [];
    private readonly HashSet<MemoryQueueEntry> _woken = [];
    private long _lastNumber;

    /// <summary>All entries, in the order of their numbers.</summary>
    public IEnumerable<MemoryQueueEntry> All => _byNumber.Values;

    /// <summary>The keys for which runs wait.</summary>
    public IReadOnlyCollection<LockKey> Keys => _byKey.Keys;

    /// <summary>The entries of woken runs.</summary>
    public IEnumerable<MemoryQueueEntry> Woken => _woken;

    public MemoryQueueEntry? Find(RunAddress run) => _byRun.GetValueOrDefault((run.Store, run.Run));

    public MemoryQueueEntry? Find(long number) => _byNumber.GetValueOrDefault(number);

    /// <summary>The entries of a key, in the order of their numbers.</summary>
    public IEnumerable<MemoryQueueEntry> Of(LockKey key) => _byKey.TryGetValue(key, out var entries) ? entries.Values : [];

    /// <summary>
    /// An entry number for a caller that waits outside of the wait queue. It is greater than the numbers of all runs that wait, and smaller than those of all
    /// later runs.
    /// </summary>
    public long DrawNumber() => ++_lastNumber;

    /// <summary>Enqueues a run. A run that has an entry keeps its entry number.</summary>
    /// <param name="run">The run.</param>
    /// <param name="request">The lock for which it waits.</param>
    /// <param name="atMost">The longest wait; null for no limit.</param>
    /// <param name="queueLimit">How many runs may wait.</param>
    public EnqueueResult Enqueue(RunAddress run, LockRequest request, TimeSpan? atMost, int queueLimit)
    {
        var now = clock.GetUtcNow();
        var former = Find(run);
        PassLateRunsOver(run.Store, former?.Queue ?? run.Queue, run.Run);
        var ahead = Of(request.Key).TakeWhile(entry => former is null || entry.Number < former.Number).Where(Counts).Take(queueLimit).Count();
        if (former is null && ahead >= queueLimit) return new(null, ahead);

        var formerKey = former?.Key;
        var entry = former ?? new(DrawNumber(), run, request, now);
        Remove(entry);
        entry.Request = request;
        entry.Restart(atMost, run.IsNewRun, now);
        Add(entry);
        var result = new QueueEntry(entry.Number, entry.Key, BypassesQueue: false, entry.IsOverdue(now), entry.SkipReason, entry.Since)
        {
            Request = new(run with { Queue = entry.Queue }, request, entry.Until - entry.Since),
        };
        return new(result, ahead, formerKey == entry.Key ? null : formerKey, IsNewEntry: formerKey is null);
    }

    /// <summary>Gives the oldest waiting run of a key a skip reason, and wakes it to be skipped.</summary>
    /// <returns>False where each waiting run is already woken.</returns>
    public bool SkipOldest(LockKey key, RunAddress newcomer, string skipReason)
    {
        var oldest = Of(key).FirstOrDefault(entry => !entry.IsWoken && Counts(entry) && entry != Find(newcomer));
        if (oldest is null) return false;

        oldest.SkipReason = skipReason;
        Wake(oldest);
        return true;
    }

    /// <summary>Records that the store has parked the run of an entry. An entry that was removed meanwhile is restored with its number.</summary>
    public void MarkParked(QueueEntry parked)
    {
        var request = parked.Request!;
        var entry = Find(request.Run);
        if (entry is null)
        {
            entry = new(parked.Number, request.Run, request.Lock, parked.Since);
            entry.RestoreLimit(request.AtMost);
            Add(entry);
        }

        entry.IsParked = true;
    }

    /// <summary>Removes the entry of a run that has reached a worker.</summary>
    /// <returns>The key for which the run waited; null where it has no entry.</returns>
    public LockKey? Dequeue(long number)
    {
        if (Find(number) is not { } entry) return null;

        Remove(entry);
        PassLateRunsOver(entry.Store, entry.Queue, entry.Run);
        return entry.Key;
    }

    public void Remove(MemoryQueueEntry entry)
    {
        _byNumber.Remove(entry.Number);
        _byRun.Remove((entry.Store, entry.Run));
        _woken.Remove(entry);
        if (_byKey.TryGetValue(entry.Key, out var ofKey) && ofKey.Remove(entry.Number) && ofKey.Count == 0) _byKey.Remove(entry.Key);
    }

    public void Wake(MemoryQueueEntry entry)
    {
        entry.MarkWoken(clock.GetUtcNow());
        _woken.Add(entry);
    }

    /// <summary>Moves the entries of a store to its new id. A run that has an entry under both ids keeps the one under the new id.</summary>
    public void RenameStore(string from, string to)
    {
        foreach (var entry in All.Where(entry => string.Equals(entry.Store, from, StringComparison.Ordinal)).ToList())
        {
            var isWoken = _woken.Contains(entry);
            Remove(entry);
            if (_byRun.ContainsKey((to, entry.Run))) continue;

            entry.Store = to;
            Add(entry);
            if (isWoken) _woken.Add(entry);
        }
    }

    /// <summary>Whether the key has an entry with a smaller number that precedes later entries.</summary>
    public bool HasEntryBefore(LockKey key, long number) => Of(key).TakeWhile(entry => entry.Number < number).Any(Precedes);

    /// <summary>Whether an entry precedes later ones: its run can start, and no run of its scheduler queue is late.</summary>
    public bool Precedes(MemoryQueueEntry entry) => CanStart(entry) && !IsQueueLate(entry);

    /// <summary>Whether an entry precedes later ones, without regard to other runs of its scheduler queue.</summary>
    public bool CanStart(MemoryQueueEntry entry) =>
        entry.SkipReason is null
        && (entry.State == MemoryQueueEntry.Wake.None || (entry.State == MemoryQueueEntry.Wake.Woken && !entry.IsLate(clock.GetUtcNow(), TimeoutOf(entry))))
        && stores.IsServed(entry.Store);

    /// <summary>Whether an entry counts for the length of the queue. A late run counts, a run that was paused by hand does not.</summary>
    public bool Counts(MemoryQueueEntry entry) => entry.SkipReason is null && entry.State != MemoryQueueEntry.Wake.Paused && stores.IsServed(entry.Store);

    /// <summary>Whether a run of the same scheduler queue was woken and has not started in time: the queue seems to have no worker.</summary>
    public bool IsQueueLate(MemoryQueueEntry entry) => _woken.Any(woken => IsLate(woken) && IsOfQueue(woken, entry.Store, entry.Queue));

    private static bool IsOfQueue(MemoryQueueEntry entry, string store, string queue) =>
        string.Equals(entry.Store, store, StringComparison.Ordinal) && string.Equals(entry.Queue, queue, StringComparison.Ordinal);

    /// <summary>A woken run that is not parked is in a worker and starts at once. If it does not, it is late sooner.</summary>
    private TimeSpan TimeoutOf(MemoryQueueEntry entry) => entry.IsParked || options.WakeTimeout < WakeTimeoutInWorker ? options.WakeTimeout : WakeTimeoutInWorker;

    private bool IsLate(MemoryQueueEntry entry) => entry.IsLate(clock.GetUtcNow(), options.WakeTimeout);

    /// <summary>
    /// A run has reached a worker, so its scheduler queue has workers. From now on only its late runs are bypassed, and not the other runs of the queue.
    /// </summary>
    private void PassLateRunsOver(string store, string queue, string exceptRun)
    {
        foreach (var entry in _woken.Where(entry => IsLate(entry) && IsOfQueue(entry, store, queue) && !string.Equals(entry.Run, exceptRun, StringComparison.Ordinal)))
            entry.MarkPassedOver();
    }

    private void Add(MemoryQueueEntry entry)
    {
        _byNumber.Add(entry.Number, entry);
        _byRun.Add((entry.Store, entry.Run), entry);
        if (!_byKey.TryGetValue(entry.Key, out var ofKey)) _byKey[entry.Key] = ofKey = [];
        ofKey.Add(entry.Number, entry);
    }
}
