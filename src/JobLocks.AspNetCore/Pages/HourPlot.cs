using JobLocks.Inspection.Pages;
using JobLocks.Primitives;

namespace JobLocks.AspNetCore.Pages;

/// <summary>Renders the last hour as a small plot: for each minute, how many runs held the lock, waited for it, and were refused.</summary>
internal static class HourPlot
{
    private const int Minutes = 60;
    private const int Width = 10;
    private const int Height = 80;

    public static Markup Render(IReadOnlyList<LockMinute> hour, DateTimeOffset now)
    {
        if (hour.Count == 0) return Parts.Empty("No events in the last hour. A minute appears here when a run releases the lock, starts to wait for it, starts after a wait, or is refused.");

        var first = new DateTimeOffset(now.UtcDateTime.Date, TimeSpan.Zero).AddMinutes(Math.Floor(now.UtcDateTime.TimeOfDay.TotalMinutes) - Minutes + 1);
        var most = hour.Max(static minute => minute.Runs + minute.Waited + minute.Refused);
        var runs = hour.Sum(static minute => minute.Runs);
        var waited = hour.Sum(static minute => minute.Waited);
        var refused = hour.Sum(static minute => minute.Refused);
        return Markup.Of(
            $"""
            <figure>
            <svg viewBox="0 0 {Minutes * Width} {Height}" role="img" aria-label="In the last hour: {runs} runs, {waited} waited, {refused} refused. At most {most} in a minute." preserveAspectRatio="none">
            {Markup.Join(hour.Select(minute => Bars(minute, (int)(minute.Minute - first).TotalMinutes, most)))}
            </svg>
            <figcaption><span class="key runs">{runs} runs</span> <span class="key waits">{waited} waited</span> <span class="key refusals">{refused} refused</span></figcaption>
            </figure>
            {Table(hour)}
            """);
    }

    private static Markup Bars(LockMinute minute, int index, long most)
    {
        if (index is < 0 or >= Minutes) return Markup.None;

        var usual = minute.Runs > 0 ? $", held {DisplayText.Time(minute.Held / minute.Runs)} each" : "";
        var runs = Size(minute.Runs, most);
        var waits = Size(minute.Waited, most);
        var refusals = Size(minute.Refused, most);
        return Markup.Of(
            $"""
            <g><title>{DisplayText.Instant(minute.Minute)}: {minute.Runs} runs{usual}, {minute.Waited} waited, {minute.Refused} refused</title>
            <rect class="runs" x="{index * Width}" y="{Height - runs}" width="{Width - 1}" height="{runs}"/><rect class="waits" x="{index * Width}" y="{Height - runs - waits}" width="{Width - 1}" height="{waits}"/><rect class="refusals" x="{index * Width}" y="{Height - runs - waits - refusals}" width="{Width - 1}" height="{refusals}"/></g>
            """);
    }

    /// <summary>The same data as a table for screen readers. It becomes visible when it has the focus.</summary>
    private static Markup Table(IReadOnlyList<LockMinute> hour) => Markup.Of(
        $"""
        <div class="unseen" id="hour-table" role="region" tabindex="0" aria-label="The last hour as a table">
        <table>
        <thead><tr><th scope="col">Minute</th><th scope="col">Runs</th><th scope="col">Held each</th><th scope="col">Waited</th><th scope="col">Refused</th></tr></thead>
        <tbody>{Markup.Join(hour.Select(static minute => Markup.Of(
            $"""
            <tr><td data-label="Minute">{Cells.WithoutLink.Instant(minute.Minute)}</td><td data-label="Runs">{minute.Runs}</td><td data-label="Held each">{(minute.Runs > 0 ? DisplayText.Time(minute.Held / minute.Runs) : "")}</td><td data-label="Waited">{minute.Waited}</td><td data-label="Refused">{minute.Refused}</td></tr>

            """)))}</tbody>
        </table>
        </div>
        """);

    private static long Size(long count, long most) => most == 0 ? 0 : count * Height / most;
}
