using System.Globalization;
using JobLocks.Inspection;
using JobLocks.Primitives;

namespace JobLocks.AspNetCore.Pages;

/// <summary>Fragments that several pages share.</summary>
internal static class Parts
{
    /// <summary>A lock name with a link to its page.</summary>
    public static Markup Link(string basePath, string id, LockKey key, string? name)
    {
        var text = name is null ? $"key {key}" : DisplayText.Name(name);
        return Markup.Of($"<a id=\"{id}\" href=\"{basePath}/names/{key.Value}\" title=\"{text}\"><bdi>{DisplayText.Short(text)}</bdi></a>");
    }

    /// <summary>An instant in UTC. The script shows it in the viewer's time zone, with the elapsed time.</summary>
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

    /// <summary>Gives each row an id that stays the same while other rows appear and disappear. Several runs of one process may share a lock, so they are numbered.</summary>
    public static IEnumerable<(HeldLock Lock, string Id)> WithIds(IReadOnlyList<HeldLock> held)
    {
        var seen = new Dictionary<(LockKey Key, int Backend), int>();
        foreach (var heldLock in held)
        {
            var lockAndBackend = (heldLock.Key, heldLock.Holder.Backend);
            var nth = seen[lockAndBackend] = seen.GetValueOrDefault(lockAndBackend) + 1;
            yield return (heldLock, $"{heldLock.Key}-{heldLock.Holder.Backend}{(nth == 1 ? "" : $"-{nth}")}");
        }
    }

    /// <summary>The links to the previous and the next part of a list.</summary>
    public static Markup Pager(string address, string parameter, int skip, int shown, long total)
    {
        const int Size = 100;
        if (skip == 0 && shown >= total) return Markup.None;

        // The list may have become shorter than the start of this part.
        var previousSkip = Math.Max(0, Math.Min(skip - Size, (total - 1) / Size * Size));
        var previous = skip > 0 ? Markup.Of($"<a id=\"{parameter}-back\" rel=\"prev\" href=\"{address}?{parameter}={previousSkip}\">Before</a> ") : Markup.None;
        var next = skip + shown < total ? Markup.Of($" <a id=\"{parameter}-on\" rel=\"next\" href=\"{address}?{parameter}={skip + Size}\">After</a>") : Markup.None;
        return Markup.Of($"<nav class=\"pager\" aria-label=\"Parts of the list\">{previous}{(shown == 0 ? "none" : string.Create(CultureInfo.InvariantCulture, $"{skip + 1} to {skip + shown}"))} of {total}{next}</nav>");
    }
}
