using System.Runtime.InteropServices;
using JobLocks.Primitives;

namespace JobLocks.Postgres.Reading;

/// <summary>
/// The internal locks that other programs hold. One reading proves nothing: a session of JobLocks that was just opened is not registered yet. Thread-safe.
/// </summary>
internal sealed class ForeignInternalLocks
{
    // In this time each process has checked its registration, and has registered again if its row was deleted.
    private static readonly TimeSpan ProvenAfter = TimeSpan.FromSeconds(4);

    // An older reading says nothing about the present.
    private static readonly TimeSpan StaleAfter = TimeSpan.FromSeconds(15);

    private readonly Lock _sync = new();
    private Dictionary<(int Class, bool IsShared, int Number), TimeSpan> _seenSince = [];
    private HashSet<(int Class, int Number)> _held = [];
    private Dictionary<HolderKey, InternalLockHolder> _holders = [];
    private TimeSpan _readAt = TimeSpan.MinValue / 2;

    /// <summary>All holders that are proven to be other programs.</summary>
    public IReadOnlyList<InternalLockHolder> Holders
    {
        get
        {
            lock (_sync) return [.. _holders.Values];
        }
    }

    /// <summary>Whether the last reading is so old that it says nothing about the present.</summary>
    public bool IsStale
    {
        get
        {
            lock (_sync) return BootClock.Now - _readAt > StaleAfter;
        }
    }

    /// <summary>Whether another program is proven to hold an internal lock.</summary>
    public bool IsHeldByAnother(int keyClass, int number)
    {
        lock (_sync) return _held.Contains((keyClass, number));
    }

    /// <summary>Adds a reading.</summary>
    /// <returns>The holders that this reading proves, and the proven holders that it does not contain any more.</returns>
    public (List<InternalLockHolder> Begun, List<InternalLockHolder> Ended) Update(InternalLockReading reading)
    {
        var now = BootClock.Now;
        lock (_sync)
        {
            var isFirst = now - _readAt > StaleAfter;
            _readAt = now;
            var seen = new Dictionary<(int Class, bool IsShared, int Number), TimeSpan>();
            var holders = new Dictionary<HolderKey, InternalLockHolder>();
            foreach (var holder in reading.Holders)
            {
                var holderKey = new HolderKey(holder.Backend, holder.Class, holder.IsShared);
                // The time counts for the lock, not for the session: a program may pass the lock from one of its sessions to another.
                foreach (var number in holder.Numbers) seen[(holder.Class, holder.IsShared, number)] = isFirst ? now : _seenSince.GetValueOrDefault((holder.Class, holder.IsShared, number), now);
                var proven = holder.Numbers.Where(number => now - seen[(holder.Class, holder.IsShared, number)] >= ProvenAfter).ToList();
                if (proven.Count > 0) holders[holderKey] = holder.With(proven);
            }

            var begun = holders.Where(pair => !_holders.ContainsKey(pair.Key)).Select(static pair => pair.Value).ToList();
            var ended = _holders.Where(pair => !holders.ContainsKey(pair.Key)).Select(static pair => pair.Value).ToList();
            _held = [.. seen.Where(pair => now - pair.Value >= ProvenAfter).Select(static pair => (pair.Key.Class, pair.Key.Number))];
            (_seenSince, _holders) = (seen, holders);
            return (begun, ended);
        }
    }

    [StructLayout(LayoutKind.Auto)]
    private readonly record struct HolderKey(int Backend, int Class, bool IsShared);
}
