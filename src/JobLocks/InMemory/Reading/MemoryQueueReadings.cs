using JobLocks.InMemory.WaitQueue;
using JobLocks.Inspection;
using JobLocks.Primitives;
using JobLocks.WaitQueue;

namespace JobLocks.InMemory.Reading;

/// <summary>Describes the waiting runs to inspection. Not thread-safe: used under the mutex of the <see cref="MemoryDispatcher"/>.</summary>
internal sealed class MemoryQueueReadings(MemoryDispatcher dispatcher, MemoryHeldReadings held)
{
    /// <summary>How many runs wait.</summary>
    public int Count => dispatcher.Queue.All.Count(IsShown);

    /// <summary>The names for which runs wait. The name with the longest queue is the first.</summary>
    public IReadOnlyList<WaitingName> Names =>
        [.. dispatcher.Queue.Keys.Select(Of).Where(static runs => runs.Count > 0).OrderByDescending(static runs => runs.Count).ThenBy(static runs => runs[0].Key.Value).Select(ReadName)];

    /// <summary>The scheduler of a job store, which is the first word of its id.</summary>
    public static string SchedulerOf(string store) => (VolatileStore.Is(store) ? store[VolatileStore.Prefix.Length..] : store).Split(' ')[0];

    /// <summary>A page of the runs that wait for a key, in the order of the queue.</summary>
    public LockPage<QueuedRun> ReadPage(LockKey key, int skip, int take)
    {
        var runs = Of(key);
        return new([.. runs.Skip(skip).Take(take).Select(entry => ReadRun(entry, 1 + runs.TakeWhile(other => other != entry).Count(IsServed)))], runs.Count);
    }

    /// <summary>Why a run waits; null where it does not wait.</summary>
    /// <param name="run">The name of the run in its store, or its job.</param>
    /// <param name="store">The id of the store; null for all stores.</param>
    public string? Explain(string run, string? store)
    {
        var entry = dispatcher.Queue.All.FirstOrDefault(entry => IsShown(entry)
            && (string.Equals(entry.Run, run, StringComparison.Ordinal) || IsJob(entry, run)) && (store is null || string.Equals(entry.Store, store, StringComparison.Ordinal)));
        if (entry is null) return null;

        // Runs whose store is not served are bypassed, so they do not count. The explained run itself does.
        var counted = Of(entry.Key).Where(other => other == entry || IsServed(other)).ToList();
        var explanation = new WaitExplanation(
            entry.Key, NameOf(entry), entry.Since, WokenAt(entry), counted.IndexOf(entry) + 1, counted.Count, dispatcher.Statistics.UsualHold(entry.Key))
        {
            IsServed = IsServed(entry),
            IsAboutToStart = !entry.IsParked,
        };
        return explanation.Explain(held.Of(entry.Key));
    }

    /// <summary>Whether a job, by its key with or without the default group, is the job of a waiting run.</summary>
    public static bool IsJob(MemoryQueueEntry entry, string job) =>
        string.Equals(entry.Job, job, StringComparison.Ordinal) || string.Equals(entry.Job, $"DEFAULT.{job}", StringComparison.Ordinal);

    public static string NameOf(MemoryQueueEntry entry) => DisplayText.Cut(entry.Request.Name ?? entry.Request.ToString());

    private static bool IsShown(MemoryQueueEntry entry) => entry.SkipReason is null;

    private bool IsServed(MemoryQueueEntry entry) => dispatcher.Stores.IsServed(entry.Store);

    private List<MemoryQueueEntry> Of(LockKey key) => [.. dispatcher.Queue.Of(key).Where(IsShown)];

    private WaitingName ReadName(List<MemoryQueueEntry> runs) =>
        new(runs[0].Key, NameOf(runs[0]), runs.Count, runs[0].Since, held.FirstHolderOf(runs[0].Key), dispatcher.Statistics.UsualHold(runs[0].Key))
        {
            Unserved = runs.Count(entry => !IsServed(entry)),
        };

    private QueuedRun ReadRun(MemoryQueueEntry entry, int position) =>
        new(entry.Key, NameOf(entry), position, entry.Request.Mode, SchedulerOf(entry.Store), entry.Store, entry.Run, entry.Queue, entry.Since, WokenAt(entry))
        {
            Job = entry.Job,
            IsServed = IsServed(entry),
            IsAboutToStart = !entry.IsParked,
        };

    private static DateTimeOffset? WokenAt(MemoryQueueEntry entry) => entry.State == MemoryQueueEntry.Wake.Woken ? entry.WokenAt : null;
}
