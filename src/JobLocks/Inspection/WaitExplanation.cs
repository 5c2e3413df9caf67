using System.Globalization;
using JobLocks.Primitives;

namespace JobLocks.Inspection;

/// <summary>A waiting run with the data that explains why it does not start.</summary>
internal sealed record WaitExplanation(LockKey Key, string Name, DateTimeOffset Since, DateTimeOffset? WokenAt, long Position, long Length, TimeSpan? UsualHold)
{
    /// <summary>Whether a running scheduler or Hangfire server serves the job store of the run.</summary>
    public required bool IsServed { get; init; }

    /// <summary>Whether the run waits in its worker, or is on its way to one.</summary>
    public required bool IsAboutToStart { get; init; }

    /// <summary>The explanation, in one sentence.</summary>
    public string Explain(IReadOnlyList<HeldLock> held)
    {
        var holder = held switch
        {
            [] when WokenAt is not null => "woken and about to start",
            [] => "which is free at the moment",
            [var only] => $"held by {only.Holder}{SinceOf(only.Holder)}",
            [var first, ..] => $"held by {first.Holder}{SinceOf(first.Holder)} and {held.Count - 1} more",
        };
        var usual = UsualHold is { } time ? $", usual hold {DisplayText.Time(time)}" : "";
        var start = IsAboutToStart && IsServed && WokenAt is null ? ", about to start" : "";
        var unserved = IsServed ? "" : ". No running scheduler or Hangfire server serves its job store: other runs bypass it until one does";
        return string.Create(CultureInfo.InvariantCulture, $"waiting for {DisplayText.Name(Name)}, {holder}, position {Position} of {Length}{usual}{start}{unserved}");
    }

    private static string SinceOf(LockHolder holder) => holder switch
    {
        { Since: { } since } => $" since {DisplayText.Instant(since)}",
        { ConnectedSince: { } connected } => $", connected since {DisplayText.Instant(connected)}",
        _ => "",
    };
}
