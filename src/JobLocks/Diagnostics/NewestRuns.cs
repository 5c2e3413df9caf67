namespace JobLocks.Diagnostics;

/// <summary>The newest of the runs that have released one lock name: a ring, which grows up to its limit. Not thread-safe.</summary>
internal sealed class NewestRuns
{
    /// <summary>The most runs that are kept.</summary>
    public const int Most = 50;

    private const int FirstSize = 4;

    private EndedRun[] _ring = [];
    private int _next;

    /// <summary>How many runs are kept.</summary>
    public int Count { get; private set; }

    /// <summary>The kept runs, the oldest first.</summary>
    public IEnumerable<EndedRun> All
    {
        get
        {
            for (var index = 0; index < Count; index++) yield return _ring[(_next - Count + index + _ring.Length) % _ring.Length];
        }
    }

    /// <summary>Adds a run, which replaces the oldest one where the ring is full.</summary>
    /// <param name="run">The run.</param>
    /// <param name="mayGrow">Whether one more run may be kept. Otherwise the run replaces the oldest one, and an empty ring stays empty.</param>
    /// <returns>Whether one more run is kept than before.</returns>
    public bool Add(in EndedRun run, bool mayGrow)
    {
        mayGrow &= Count < Most;
        if (!mayGrow && Count == 0) return false;
        if (!mayGrow && Count < _ring.Length) Shrink();
        else if (mayGrow && Count == _ring.Length) Grow();

        _ring[_next] = run;
        _next = (_next + 1) % _ring.Length;
        if (mayGrow) Count++;
        return mayGrow;
    }

    private void Grow() => Resize(Math.Clamp(Count * 2, FirstSize, Most));

    /// <summary>The total of all names is reached, so the ring has its final size.</summary>
    private void Shrink() => Resize(Count);

    private void Resize(int size)
    {
        var kept = All.ToArray();
        _ring = new EndedRun[size];
        kept.CopyTo(_ring, 0);
        _next = Count % size;
    }
}
