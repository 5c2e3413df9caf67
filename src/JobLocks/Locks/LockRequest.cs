using System.Globalization;
using JobLocks.Primitives;

namespace JobLocks.Locks;

/// <summary>One lock that a run or a caller requests.</summary>
/// <param name="name">The name, scope included; null where only the key is known.</param>
/// <param name="key">The key of the name.</param>
/// <param name="mode">Which other holders the lock excludes.</param>
/// <param name="limit">How many holders are allowed at once. Above 1, <paramref name="name"/> must be known and the mode must be exclusive.</param>
internal sealed class LockRequest(string? name, LockKey key, LockMode mode = LockMode.Exclusive, int limit = 1)
{
    // Two threads may compute it at once: both find the same keys.
    private LockKey[]? _slots;

    /// <summary>The name, scope included; null where only the key is known.</summary>
    public string? Name => name;

    /// <summary>The key of the name.</summary>
    public LockKey Key => key;

    /// <summary>Which other holders the lock excludes.</summary>
    public LockMode Mode => mode;

    /// <summary>How many holders are allowed at once.</summary>
    public int Limit => limit;

    /// <summary>The template of the rule that requests the lock; null where code acquires it by hand.</summary>
    public string? Template { get; init; }

    /// <summary>
    /// One key for each holder that the limit allows. Slot 0 is the key of the name, so that locks with different limits, locks without a limit
    /// and foreign programs exclude each other. The further keys are hashes too, because neighbouring numbers may be the keys of other names.
    /// The unit separator (U+001F) between name and number does not occur in names that people write.
    /// </summary>
    public IReadOnlyList<LockKey> Slots =>
        _slots ??= [Key, .. Enumerable.Range(1, Limit - 1).Select(slot => LockKey.Of($"{Name}\u001f{slot.ToString(CultureInfo.InvariantCulture)}"))];

    public override string ToString() => Name is null ? Key.ToString() : DisplayText.Name(Name);
}
