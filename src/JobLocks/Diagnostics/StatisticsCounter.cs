using System.Runtime.InteropServices;

namespace JobLocks.Diagnostics;

/// <summary>Counts the statistics of each lock name. A call only adds numbers in memory, so it does not delay the run. Thread-safe.</summary>
internal sealed class StatisticsCounter
{
    // The most names between two calls of Take. Beyond that, new names are not counted.
    private const int MostNames = 10_000;

    // The most single runs of all names between two calls of Take. Beyond that, a run only replaces an older one of its name.
    private const int MostRuns = 1_000;

    private readonly Lock _sync = new();
    private Dictionary<LockKey, NameStatistics?> _byName = [];
    private int _runs;

    /// <summary>Counts the release of a lock, and keeps the run if it is one of the newest of its name. A lock without a name is not counted.</summary>
    public void Ran(LockKey key, string? name, in EndedRun run)
    {
        if (name is null) return;

        lock (_sync)
        {
            if (StatisticsOf(key, name) is not { } statistics) return;

            statistics.Runs++;
            statistics.Held += run.ReleasedAt - run.HeldSince;
            if (statistics.Newest.Add(run, mayGrow: _runs < MostRuns)) _runs++;
        }
    }

    /// <summary>Counts for how long a lock was free while a run waited for it.</summary>
    public void WasFree(LockKey key, string name, TimeSpan time)
    {
        lock (_sync)
        {
            if (StatisticsOf(key, name) is { } statistics) statistics.FreeWhileWaiting += time;
        }
    }

    /// <summary>Counts a run that was refused and does not wait.</summary>
    public void Refused(LockKey key, string name)
    {
        lock (_sync)
        {
            if (StatisticsOf(key, name) is { } statistics) statistics.Refused++;
        }
    }

    /// <summary>Counts a run that has entered the wait queue.</summary>
    public void Waited(LockKey key, string name)
    {
        lock (_sync)
        {
            if (StatisticsOf(key, name) is { } statistics) statistics.Waited++;
        }
    }

    /// <summary>Returns the statistics since the previous call, and starts again at zero. The result belongs to the caller.</summary>
    public IReadOnlyCollection<NameStatistics> Take()
    {
        lock (_sync)
        {
            if (_byName.Count == 0) return [];

            var taken = _byName;
            _byName = [];
            _runs = 0;
            return [.. taken.Values.OfType<NameStatistics>().OrderBy(static statistics => statistics.Key.Value)];
        }
    }

    private NameStatistics? StatisticsOf(LockKey key, string name)
    {
        if (_byName.Count >= MostNames) return _byName.GetValueOrDefault(key);

        ref var statistics = ref CollectionsMarshal.GetValueRefOrAddDefault(_byName, key, out _);
        return statistics ??= new(key, name);
    }
}
