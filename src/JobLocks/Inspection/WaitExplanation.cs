using System.Globalization;
using JobLocks.Primitives;

namespace JobLocks.Inspection;

/// <summary>A run in the line, with all that says why it does not start.</summary>
internal sealed record WaitExplanation(LockKey Key, string Name, DateTimeOffset Since, DateTimeOffset? TurnCame, long Place, long Length, TimeSpan? UsualHold)
{
    /// <summary>Whether a running process serves its store.</summary>
    public required bool IsServed { get; init; }

    /// <summary>The one sentence.</summary>
    public string Explain(IReadOnlyList<HeldLock> held)
    {
        var by = held switch
        {
            [] when TurnCame is not null => "whose turn has come",
            [] => "which nobody holds at the moment",
            [var one] => $"held by {one.Holder}{SinceOf(one.Holder)}",
            [var one, ..] => $"held by {one.Holder}{SinceOf(one.Holder)} and {held.Count - 1} more",
        };
        var usual = UsualHold is { } time ? $", usual hold {DisplayText.Time(time)}" : "";
        var unserved = IsServed ? "" : ". No running process serves its job store: all others are let past until its application is started";
        return string.Create(CultureInfo.InvariantCulture, $"waiting for {DisplayText.Name(Name)}, {by}, place {Place} of {Length}{usual}{unserved}");
    }

    private static string SinceOf(LockHolder holder) => holder switch
    {
        { Since: { } since } => $" since {DisplayText.Instant(since)}",
        { ConnectedSince: { } connected } => $", connected since {DisplayText.Instant(connected)}",
        _ => "",
    };
}
