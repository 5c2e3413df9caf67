using System.Globalization;
using JobLocks.Inspection;
using JobLocks.Primitives;

namespace JobLocks.AspNetCore.Pages;

/// <summary>What several pages show in the same way.</summary>
internal static class Parts
{
    /// <summary>A name that leads to its page.</summary>
    public static Markup Link(string at, string id, LockKey key, string? name)
    {
        var shown = name is null ? $"key {key}" : DisplayText.Name(name);
        return Markup.Of($"<a id=\"{id}\" href=\"{at}/names/{key.Value}\" title=\"{shown}\"><bdi>{DisplayText.Short(shown)}</bdi></a>");
    }

    /// <summary>An instant: the script shows it in the viewer's zone, and how long ago it was.</summary>
    public static Markup Time(DateTimeOffset? instant) => instant is { } at
        ? Markup.Of($"<time datetime=\"{at.UtcDateTime.ToString("O", CultureInfo.InvariantCulture)}\" title=\"{DisplayText.Instant(at)}\">{DisplayText.Instant(at)}</time>")
        : Markup.Of($"<span class=\"faint\">not known</span>");

    public static Markup Holder(LockHolder holder) => holder.IsForeign
        ? Markup.Of($"<bdi>{DisplayText.OneLine(holder.ToString())}</bdi> <span class=\"tag\">foreign</span>")
        : Markup.Of($"<bdi>{DisplayText.OneLine(holder.ToString())}</bdi>");

    public static Markup Since(LockHolder holder) => holder switch
    {
        { Since: { } since } => Time(since),
        { ConnectedSince: { } connected } => Markup.Of($"connected {Time(connected)}"),
        _ => Time(null),
    };

    public static Markup Usual(TimeSpan? usual) => usual is { } time ? Markup.Of($"{DisplayText.Time(time)}") : Markup.Of($"<span class=\"faint\">none yet</span>");

    /// <summary>An id for each row, which it keeps while others come and go: several runs of one process may share a lock.</summary>
    public static IEnumerable<(HeldLock One, string Id)> WithIds(IReadOnlyList<HeldLock> held)
    {
        var seen = new Dictionary<(LockKey Key, int Backend), int>();
        foreach (var one in held)
        {
            var lockOf = (one.Key, one.Holder.Backend);
            var nth = seen[lockOf] = seen.GetValueOrDefault(lockOf) + 1;
            yield return (one, $"{one.Key}-{one.Holder.Backend}{(nth == 1 ? "" : $"-{nth}")}");
        }
    }

    /// <summary>The way to the other parts of a list.</summary>
    public static Markup Pager(string address, string parameter, int skip, int shown, long total)
    {
        const int Size = 100;
        if (skip == 0 && shown >= total) return Markup.None;

        // A list may have become shorter than what stands before this part of it.
        var before = Math.Max(0, Math.Min(skip - Size, (total - 1) / Size * Size));
        var back = skip > 0 ? Markup.Of($"<a id=\"{parameter}-back\" rel=\"prev\" href=\"{address}?{parameter}={before}\">Before</a> ") : Markup.None;
        var on = skip + shown < total ? Markup.Of($" <a id=\"{parameter}-on\" rel=\"next\" href=\"{address}?{parameter}={skip + Size}\">After</a>") : Markup.None;
        return Markup.Of($"<nav class=\"pager\" aria-label=\"Parts of the list\">{back}{(shown == 0 ? "none" : string.Create(CultureInfo.InvariantCulture, $"{skip + 1} to {skip + shown}"))} of {total}{on}</nav>");
    }
}
