using System.Globalization;
using System.Text;

namespace JobLocks.Inspection.Pages;

/// <summary>
/// Renders the samples of the last hour: held locks, waiting runs, and names whose lock is free while runs wait. Each has a plot with a scale of its own, since
/// their numbers differ by orders of magnitude. The same on all dashboards. The classes are in plots.css.
/// </summary>
internal static class SamplesPlot
{
    public const string Heading = "Last hour";

    public const string WhenEmpty = "No samples of the last hour. One is taken every ten seconds while a scheduler or a Hangfire server runs.";

    private const int Width = 360;
    private const int Height = 40;

    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan ShortestTime = TimeSpan.FromMinutes(1);

    // Further samples are missing: no process has taken them.
    private static readonly TimeSpan LongestStep = TimeSpan.FromSeconds(25);

    /// <summary>Renders at least one sample.</summary>
    /// <param name="samples">The samples, the oldest first.</param>
    /// <param name="now">When they were read.</param>
    /// <param name="html">Renders instants.</param>
    public static Markup Render(IReadOnlyList<LockSample> samples, DateTimeOffset now, ICellHtml html)
    {
        var from = samples[0].At < now - ShortestTime ? samples[0].At : now - ShortestTime;
        return Markup.Of(
            $"""
            <div class="jl-samples">
            {Plot("Held locks", "jl-hold", samples, from, now, static sample => sample.Held)}
            {Plot("Waiting runs", "jl-wait", samples, from, now, static sample => sample.Waiting)}
            {Plot("Names whose lock is free while runs wait", "jl-gap", samples, from, now, static sample => sample.FreeWhileWaiting)}
            </div>
            <p>{samples.Count} samples since {html.Instant(samples[0].At)}, each of one moment. Each plot has its own scale.</p>
            """);
    }

    private static Markup Plot(string title, string color, IReadOnlyList<LockSample> samples, DateTimeOffset from, DateTimeOffset now, Func<LockSample, long> value)
    {
        var most = samples.Max(value);
        var last = string.Create(CultureInfo.InvariantCulture, $"{value(samples[^1])} at the last sample, at most {most}");
        return Markup.Of(
            $"""
            <figure class="jl-figure">
            <figcaption><span class="jl-key {color}">{title}</span> {last}</figcaption>
            <svg class="jl-plot" viewBox="0 0 {Width} {Height}" height="{Height}" preserveAspectRatio="none" role="img" aria-label="{title}: {last}.">
            <title>{title}: {last}</title><path class="{color}" d="{Path(samples, from, now, most, value)}"/>
            </svg>
            </figure>
            """);
    }

    /// <summary>The area below steps. A time without samples is empty.</summary>
    private static string Path(IReadOnlyList<LockSample> samples, DateTimeOffset from, DateTimeOffset now, long most, Func<LockSample, long> value)
    {
        var path = new StringBuilder();
        for (var index = 0; index < samples.Count; index++)
        {
            var sample = samples[index];
            var next = index + 1 < samples.Count ? samples[index + 1].At : (DateTimeOffset?)null;
            var isStep = next - sample.At <= LongestStep;
            var isStart = index == 0 || sample.At - samples[index - 1].At > LongestStep;
            var end = X(isStep ? next!.Value : sample.At + Interval, from, now);
            if (isStart) path.Append(CultureInfo.InvariantCulture, $"M{X(sample.At, from, now)} {Height}");
            path.Append(CultureInfo.InvariantCulture, $"V{Y(value(sample), most)}H{end}");
            if (!isStep) path.Append(CultureInfo.InvariantCulture, $"V{Height}Z");
        }

        return path.ToString();
    }

    private static double X(DateTimeOffset at, DateTimeOffset from, DateTimeOffset now) => Math.Round(Math.Clamp((at - from) / (now - from), 0, 1) * Width, 1);

    /// <summary>A single lock or run is visible beside a thousand.</summary>
    private static double Y(long value, long most) => value == 0 ? Height : Math.Round(Math.Min(Height - 1.5, Height - ((double)value / most * (Height - 2))), 1);
}
