using System.Runtime.InteropServices;
using JobLocks.Primitives;

namespace JobLocks.Postgres.Reading;

/// <summary>
/// Which internal locks other programs hold. One look is not enough: a session of JobLocks that has just been opened is not written down yet. Thread-safe.
/// </summary>
internal sealed class InternalLocks
{
    // So long that each process has looked meanwhile, and has written itself down again where that was deleted.
    private static readonly TimeSpan ProvenAfter = TimeSpan.FromSeconds(4);

    // A look that is older says nothing of now.
    private static readonly TimeSpan StaleAfter = TimeSpan.FromSeconds(15);

    private readonly Lock _sync = new();
    private Dictionary<(int Class, bool IsShared, int Number), TimeSpan> _seenSince = [];
    private HashSet<(int Class, int Number)> _held = [];
    private Dictionary<Group, InternalLockHolder> _holders = [];
    private TimeSpan _lookedAt = TimeSpan.MinValue / 2;

    /// <summary>Who holds some, of all that are certain.</summary>
    public IReadOnlyList<InternalLockHolder> Holders
    {
        get
        {
            lock (_sync) return [.. _holders.Values];
        }
    }

    /// <summary>Whether the last look is so old that it says nothing of now.</summary>
    public bool IsStale
    {
        get
        {
            lock (_sync) return BootClock.Now - _lookedAt > StaleAfter;
        }
    }

    /// <summary>Whether another program is certain to hold an internal lock.</summary>
    public bool IsHeldByAnother(int keyClass, int number)
    {
        lock (_sync) return _held.Contains((keyClass, number));
    }

    /// <summary>Takes in a look.</summary>
    /// <returns>Whose holding has become certain with this look, and whose has ended.</returns>
    public (List<InternalLockHolder> Begun, List<InternalLockHolder> Ended) Take(InternalLockLook look)
    {
        var now = BootClock.Now;
        lock (_sync)
        {
            var isFirst = now - _lookedAt > StaleAfter;
            _lookedAt = now;
            var seen = new Dictionary<(int Class, bool IsShared, int Number), TimeSpan>();
            var holders = new Dictionary<Group, InternalLockHolder>();
            foreach (var holder in look.Holders)
            {
                var group = new Group(holder.Backend, holder.Class, holder.IsShared);
                // Whichever session holds it: several sessions of one stranger can pass a lock on to each other.
                foreach (var number in holder.Numbers) seen[(holder.Class, holder.IsShared, number)] = isFirst ? now : _seenSince.GetValueOrDefault((holder.Class, holder.IsShared, number), now);
                var proven = holder.Numbers.Where(number => now - seen[(holder.Class, holder.IsShared, number)] >= ProvenAfter).ToList();
                if (proven.Count > 0) holders[group] = holder.With(proven);
            }

            var begun = holders.Where(of => !_holders.ContainsKey(of.Key)).Select(static of => of.Value).ToList();
            var ended = _holders.Where(of => !holders.ContainsKey(of.Key)).Select(static of => of.Value).ToList();
            _held = [.. seen.Where(of => now - of.Value >= ProvenAfter).Select(static of => (of.Key.Class, of.Key.Number))];
            (_seenSince, _holders) = (seen, holders);
            return (begun, ended);
        }
    }

    [StructLayout(LayoutKind.Auto)]
    private readonly record struct Group(int Backend, int Class, bool IsShared);
}
