using System.Runtime.InteropServices;

namespace JobLocks.Diagnostics;

/// <summary>Counts what happens under each name, off the path of the run but for an addition. Thread-safe.</summary>
internal sealed class StatisticsCounter
{
    // Between two times that it is written down. Beyond it, new names are not counted.
    private const int MostNames = 10_000;

    private readonly Lock _sync = new();
    private Dictionary<LockKey, NameStatistics?> _tallies = [];

    /// <summary>A lock was held and is let go.</summary>
    public void Ran(LockKey key, string? name, TimeSpan held)
    {
        if (name is null) return;

        lock (_sync)
        {
            if (TallyOf(key, name) is not { } tally) return;

            tally.Runs++;
            tally.Held += held;
        }
    }

    /// <summary>A run was refused and does not wait.</summary>
    public void Refused(LockKey key, string name)
    {
        lock (_sync)
        {
            if (TallyOf(key, name) is { } tally) tally.Refused++;
        }
    }

    /// <summary>A run stands in the line.</summary>
    public void Waited(LockKey key, string name)
    {
        lock (_sync)
        {
            if (TallyOf(key, name) is { } tally) tally.Waited++;
        }
    }

    /// <summary>What was counted since the last time; for the caller alone from now on.</summary>
    public IReadOnlyCollection<NameStatistics> Take()
    {
        lock (_sync)
        {
            if (_tallies.Count == 0) return [];

            var taken = _tallies;
            _tallies = [];
            return [.. taken.Values.OfType<NameStatistics>().OrderBy(static tally => tally.Key.Value)];
        }
    }

    private NameStatistics? TallyOf(LockKey key, string name)
    {
        if (_tallies.Count >= MostNames) return _tallies.GetValueOrDefault(key);

        ref var tally = ref CollectionsMarshal.GetValueRefOrAddDefault(_tallies, key, out _);
        return tally ??= new(key, name);
    }
}
