using JobLocks.Benchmarks.Children;

namespace JobLocks.Benchmarks.Waiting;

/// <summary>Who had which lock from when to when.</summary>
internal sealed class Timeline(IReadOnlyList<Held> held)
{
    private readonly IReadOnlyList<IReadOnlyList<Held>> _names =
        [.. held.GroupBy(static one => one.Name, StringComparer.Ordinal).Select(static name => name.OrderBy(static one => one.Entered).ToList())];

    public int Runs => held.Count;

    /// <summary>From the first to the last.</summary>
    public double Seconds => Clock.MillisecondsBetween(held.Min(static one => one.Entered), held.Max(static one => one.Left)) / 1000;

    /// <summary>How often two had one lock at once.</summary>
    public int Overlaps => Pairs.Count(static pair => pair.Second.Entered < pair.First.Left);

    /// <summary>
    /// The share of the time in which the lock of a name was free, from the first run of the name to the last, in percent. All runs are offered at once, so in
    /// this time a run waits for it.
    /// </summary>
    public double FreePercent
    {
        get
        {
            var free = Pairs.Sum(static pair => Math.Max(0, Clock.MillisecondsBetween(pair.First.Left, pair.Second.Entered)));
            return 100 * free / (free + held.Sum(static one => Clock.MillisecondsBetween(one.Entered, one.Left)));
        }
    }

    private IEnumerable<(Held First, Held Second)> Pairs => _names.SelectMany(static name => name.Zip(name.Skip(1)));

    /// <summary>From the end of a run to the beginning of the next under its name, in milliseconds: so long or less it took for this share of them.</summary>
    public double Gap(double share)
    {
        var gaps = Pairs.Select(static pair => Clock.MillisecondsBetween(pair.First.Left, pair.Second.Entered)).Order().ToList();
        return gaps.Count == 0 ? double.NaN : gaps[(int)Math.Ceiling(share * gaps.Count) - 1];
    }
}
