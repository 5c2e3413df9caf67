using System.Globalization;
using JobLocks.Inspection.Pages;
using JobLocks.Primitives;

namespace JobLocks.AspNetCore.Pages;

/// <summary>The HTML of the cells of one row.</summary>
/// <param name="basePath">The base path of the pages.</param>
/// <param name="linkId">The id of the link in the row: the focus stays on the link when the row is replaced.</param>
internal sealed class Cells(string basePath = "", string linkId = "") : ICellHtml
{
    /// <summary>For contents without a link.</summary>
    public static Cells WithoutLink { get; } = new();

    public Markup LockName(LockKey key, string text, string title) => Markup.Of($"<a id=\"{linkId}\" href=\"{basePath}/names/{key.Value}\" title=\"{title}\"><bdi>{text}</bdi></a>");

    public Markup Holder(LockHolder holder, string text) => holder.IsForeign ? Markup.Of($"<bdi>{text}</bdi> <span class=\"tag\">foreign</span>") : Markup.Of($"<bdi>{text}</bdi>");

    public Markup Run(QueuedRun run, string text, string title) => Markup.Of($"<bdi title=\"{title}\">{text}</bdi>");

    /// <summary>An instant in UTC. The script shows it in the viewer's time zone, with the elapsed time.</summary>
    public Markup Instant(DateTimeOffset at) =>
        Markup.Of($"<time datetime=\"{at.UtcDateTime.ToString("O", CultureInfo.InvariantCulture)}\" title=\"{DisplayText.Instant(at)}\">{DisplayText.Instant(at)}</time>");

    public Markup Missing(string text) => Markup.Of($"<span class=\"faint\">{text}</span>");
}
