using System.Globalization;
using JobLocks.Locks;
using JobLocks.Naming;
using JobLocks.Primitives;

namespace JobLocks.InMemory.Reading;

/// <summary>Finds lock names for inspection. Not thread-safe: used under the mutex of the <see cref="MemoryDispatcher"/>.</summary>
internal sealed class MemorySearch(MemoryDispatcher dispatcher, MemoryHeldReadings held, JobLocksOptions options)
{
    /// <summary>Finds names by a part of the name, by the key, and by a run or job that waits for the lock or holds it.</summary>
    public IReadOnlyList<LockMatch> Find(string text)
    {
        var searchText = text.Trim();
        if (searchText.Length == 0) return [];

        var number = long.TryParse(searchText, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var parsed) ? new LockKey(parsed) : (LockKey?)null;
        var matches = ByName(searchText, number ?? KeyOf(searchText), KeyOf(searchText)).Concat(ByWaitingRun(searchText)).Concat(ByHolder(searchText))
            .Select(static match => match with { Name = Shown(match.Name), Because = DisplayText.Cut(match.Because, DisplayText.LongestRun) })
            .Take(MemoryInspector.LargestPage)
            .ToList();
        // A number without a match may be a key whose name is not known. Matches have precedence, since a number is mostly the id of a job.
        return number is { } key && matches.Count == 0 ? [new(key, null, "key")] : matches;
    }

    /// <summary>The lock that a run holds, as a text; null where it is not known to hold one.</summary>
    public string? ExplainHolder(string run, string? store) => held.Grants.FirstOrDefault(grant => IsHeldBy(grant, DisplayText.OneLine(run))
        && (store is null || string.Equals(grant.Holder.Store, store, StringComparison.Ordinal))) is { } grant
            ? $"holds {grant} since {DisplayText.Instant(grant.Since)}"
            : null;

    private IEnumerable<LockMatch> ByName(string text, params IReadOnlyList<LockKey?> keys)
    {
        var known = dispatcher.Statistics.All.Select(static totals => (totals.Key, totals.Name))
            .Concat(held.Grants.Where(static grant => grant.Name is not null).Select(static grant => (Key: grant.NameKey, Name: grant.Name!)))
            .DistinctBy(static name => name.Key);
        foreach (var (key, name) in known)
        {
            if (name.Contains(text, StringComparison.OrdinalIgnoreCase)) yield return new(key, name, "name");
            else if (keys.Contains(key)) yield return new(key, name, "key");
        }
    }

    private IEnumerable<LockMatch> ByWaitingRun(string text)
    {
        foreach (var entry in dispatcher.Queue.All)
        {
            if (string.Equals(entry.Run, text, StringComparison.Ordinal)) yield return new(entry.Key, MemoryQueueReadings.NameOf(entry), $"{MemoryQueueReadings.SchedulerOf(entry.Store)} run {entry.Run}");
            else if (MemoryQueueReadings.IsJob(entry, text)) yield return new(entry.Key, MemoryQueueReadings.NameOf(entry), $"job {entry.Job}");
        }
    }

    private IEnumerable<LockMatch> ByHolder(string text) =>
        held.Grants.Where(grant => IsHeldBy(grant, text)).Select(static grant => new LockMatch(grant.NameKey, grant.Name, grant.Holder.Run!));

    /// <summary>Whether a run or a job holds a lock: a holder is named <c>Hangfire job 7</c>, or <c>Quartz job DEFAULT.sync fired …</c>.</summary>
    private static bool IsHeldBy(LockGrant grant, string run) => grant.Holder.Run is { } holder
        && (string.Equals(holder, $"{holder.Split(' ')[0]} job {run}", StringComparison.Ordinal)
            || holder.StartsWith($"Quartz job {run} fired ", StringComparison.Ordinal)
            || holder.StartsWith($"Quartz job DEFAULT.{run} fired ", StringComparison.Ordinal));

    private static string? Shown(string? name) => name is null ? null : DisplayText.Cut(name);

    private LockKey? KeyOf(string text)
    {
        try
        {
            return LockKey.Of(LockScope.Apply(options.Scope, text));
        }
        catch (ArgumentException)
        {
            // Half of a surrogate pair cannot be a name.
            return null;
        }
    }
}
