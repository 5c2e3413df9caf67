using System.Globalization;

namespace JobLocks.Inspection;

/// <summary>A run in the line, with all that says why it does not start.</summary>
internal sealed record StandingRun(LockKey Key, string Name, DateTimeOffset Since, DateTimeOffset? TurnCame, long Place, long Length, TimeSpan? UsualHold)
{
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
        var usual = UsualHold is { } time ? $", usual hold {Seconds(time)}" : "";
        return string.Create(CultureInfo.InvariantCulture, $"waiting for {Name}, {by}, place {Place} of {Length}{usual}");
    }

    /// <summary>An instant as it stands in a sentence.</summary>
    public static string At(DateTimeOffset instant) => instant.ToUniversalTime().ToString("yyyy-MM-dd HH:mm:ss'Z'", CultureInfo.InvariantCulture);

    private static string SinceOf(LockHolder holder) => holder switch
    {
        { Since: { } since } => $" since {At(since)}",
        { ConnectedSince: { } connected } => $", connected since {At(connected)}",
        _ => "",
    };

    private static string Seconds(TimeSpan time) => time.TotalSeconds < 10
        ? string.Create(CultureInfo.InvariantCulture, $"{time.TotalSeconds:0.0} s")
        : string.Create(CultureInfo.InvariantCulture, $"{time.TotalSeconds:0} s");
}
