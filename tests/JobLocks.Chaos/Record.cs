namespace JobLocks.Chaos;

/// <summary>All that is known of a story.</summary>
/// <param name="Events">All that happened, in order.</param>
/// <param name="Offers">All that was wanted.</param>
/// <param name="Looks">What the inspector showed meanwhile.</param>
internal sealed record Record(IReadOnlyList<Event> Events, IReadOnlyDictionary<int, Offer> Offers, IReadOnlyList<Look> Looks)
{
    /// <summary>All writes of persisted job data, in order.</summary>
    public IReadOnlyList<Write> Writes { get; init; } = [];

    /// <summary>What the stores still held when nothing happened any more.</summary>
    public IReadOnlyList<Rest> Rests { get; init; } = [];
}
