using System.Globalization;
using JobLocks.Primitives;

namespace JobLocks.Locks;

/// <summary>One lock that somebody wants.</summary>
/// <param name="Name">The name, scope included; null where only the key is known.</param>
/// <param name="Key">The key of the name.</param>
/// <param name="Mode">Whom it keeps out.</param>
/// <param name="Limit">How many may have it at once; more than one only where <paramref name="Name"/> is known and the mode is exclusive.</param>
internal sealed record LockRequest(string? Name, LockKey Key, LockMode Mode = LockMode.Exclusive, int Limit = 1)
{
    private LockKey[]? _slots;

    /// <summary>The template of the rule that asks for it; null for code that takes it by hand.</summary>
    public string? Template { get; init; }

    /// <summary>
    /// A key for each of those who may have it at once. Slot 0 is the name's own key, so that every limit, a plain lock and a foreign
    /// program exclude each other. The others are keys of their own: neighbouring numbers may belong to other names.
    /// The unit separator between name and number is no part of a name that a person would write.
    /// </summary>
    public IReadOnlyList<LockKey> Slots =>
        _slots ??= [Key, .. Enumerable.Range(1, Limit - 1).Select(slot => LockKey.Of($"{Name}\u001f{slot.ToString(CultureInfo.InvariantCulture)}"))];

    public override string ToString() => Name is null ? Key.ToString() : DisplayText.Name(Name);
}
