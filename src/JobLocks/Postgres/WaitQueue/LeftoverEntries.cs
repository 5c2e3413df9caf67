using JobLocks.Primitives;
using JobLocks.WaitQueue;

namespace JobLocks.Postgres.WaitQueue;

/// <summary>
/// Entries that still exist although their runs have started according to the job store. The gate removes the entry of a run a moment after its start. An
/// entry that stays is a leftover: its run was replaced by another one of the same name, or its process died. Used by the thread of the
/// <see cref="WakeDispatcher"/> alone.
/// </summary>
internal sealed class LeftoverEntries(TimeSpan wakeTimeout)
{
    // The gate has an answer of the server by then.
    private static readonly TimeSpan LongestEntering = TimeSpan.FromSeconds(5);

    // An entry that no sweep has seen for so long does not exist any more.
    private static readonly TimeSpan Forgotten = TimeSpan.FromMinutes(10);

    private readonly Dictionary<long, Observation> _seen = [];

    /// <summary>Records the states of some runs in their store.</summary>
    /// <param name="states">The runs and their states.</param>
    /// <param name="mayBeOnTheWay">
    /// Whether the runs were woken before the store was asked. A worker may have such a run, and a filter of the user may keep it from the gate for a while.
    /// </param>
    /// <returns>The leftovers among them.</returns>
    public IReadOnlyList<WaitingRun> Note(IReadOnlyCollection<(WaitingRun Run, ParkedRunState State)> states, bool mayBeOnTheWay)
    {
        var now = BootClock.Now;
        foreach (var old in _seen.Where(entry => now - entry.Value.LastAt > Forgotten).Select(static entry => entry.Key).ToList()) _seen.Remove(old);

        var leftovers = new List<WaitingRun>();
        foreach (var (run, state) in states)
        {
            if (state != ParkedRunState.Started || !run.IsParked)
            {
                _seen.Remove(run.Number);
                continue;
            }

            var first = _seen.TryGetValue(run.Number, out var seen) ? seen : new(now, now, mayBeOnTheWay ? wakeTimeout : LongestEntering);
            _seen[run.Number] = first with { LastAt = now };
            if (now - first.FirstAt < first.Grace) continue;

            leftovers.Add(run);
            _seen.Remove(run.Number);
        }

        return leftovers;
    }

    /// <param name="FirstAt">When the store first reported that the run has started.</param>
    /// <param name="LastAt">When it last reported that.</param>
    /// <param name="Grace">How long the entry may stay after that.</param>
    [System.Runtime.InteropServices.StructLayout(System.Runtime.InteropServices.LayoutKind.Auto)]
    private readonly record struct Observation(TimeSpan FirstAt, TimeSpan LastAt, TimeSpan Grace);
}
