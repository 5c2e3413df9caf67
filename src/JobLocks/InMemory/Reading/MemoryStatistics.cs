using JobLocks.Diagnostics;

namespace JobLocks.InMemory.Reading;

/// <summary>
/// The counts and durations of each lock name, in total and by minute. Not thread-safe: used under the mutex of the <see cref="MemoryDispatcher"/>,
/// except <see cref="Counter"/>.
/// </summary>
internal sealed class MemoryStatistics
{
    private static readonly TimeSpan KeptMinutes = TimeSpan.FromHours(1);

    private readonly Dictionary<LockKey, NameTotals> _totals = [];

    /// <summary>Counts the events since the last <see cref="Collect"/>. Thread-safe.</summary>
    public StatisticsCounter Counter { get; } = new();

    /// <summary>All names with their totals.</summary>
    public IEnumerable<NameTotals> All => _totals.Values;

    /// <summary>Adds the events since the last call to the totals, and to those of the current minute.</summary>
    public void Collect(DateTimeOffset now)
    {
        var minute = new DateTimeOffset(now.UtcTicks - (now.UtcTicks % TimeSpan.TicksPerMinute), TimeSpan.Zero);
        foreach (var counted in Counter.Take())
        {
            if (!_totals.TryGetValue(counted.Key, out var totals)) _totals[counted.Key] = totals = new(counted.Key, counted.Name);
            totals.Add(counted, minute, minute - KeptMinutes);
        }
    }

    public NameTotals? Find(LockKey key) => _totals.GetValueOrDefault(key);

    /// <summary>How long a run holds a lock of this name on average; null where no run has ended yet.</summary>
    public TimeSpan? UsualHold(LockKey key) => Find(key) is { Runs: > 0 } totals ? totals.Held / totals.Runs : null;

    /// <summary>The totals of one name.</summary>
    internal sealed class NameTotals(LockKey key, string name)
    {
        private readonly List<LockMinute> _minutes = [];
        private List<(DateTimeOffset Minute, EndedRun Run)> _newest = [];

        public LockKey Key => key;

        public string Name => name;

        public long Runs { get; private set; }

        public TimeSpan Held { get; private set; }

        public long Refused { get; private set; }

        public long Waited { get; private set; }

        /// <summary>The minutes after a time, the oldest first.</summary>
        public IReadOnlyList<LockMinute> MinutesAfter(DateTimeOffset time) => [.. _minutes.Where(minute => minute.Minute > time)];

        /// <summary>The newest runs that were counted since the begin of a minute, the newest first.</summary>
        public IEnumerable<EndedRun> RunsSince(DateTimeOffset minute) => _newest.Where(ended => ended.Minute >= minute).Select(static ended => ended.Run);

        public void Add(NameStatistics counted, DateTimeOffset minute, DateTimeOffset keptFrom)
        {
            Runs += counted.Runs;
            Held += counted.Held;
            Refused += counted.Refused;
            Waited += counted.Waited;
            _newest = [.. counted.Newest.All.Reverse().Select(run => (minute, run)).Concat(_newest).Take(NewestRuns.Most)];
            var last = _minutes is [.., var current] && current.Minute == minute ? current : new(minute, 0, TimeSpan.Zero, 0, 0);
            _minutes.Remove(last);
            _minutes.RemoveAll(kept => kept.Minute < keptFrom);
            _minutes.Add(new(minute, last.Runs + counted.Runs, last.Held + counted.Held, last.Refused + counted.Refused, last.Waited + counted.Waited)
            {
                FreeWhileWaiting = last.FreeWhileWaiting + counted.FreeWhileWaiting,
            });
        }
    }
}
