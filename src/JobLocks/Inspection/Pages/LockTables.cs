using System.Globalization;
using JobLocks.Primitives;

namespace JobLocks.Inspection.Pages;

/// <summary>The tables of locks that all dashboards show: the same headings, columns and texts on each.</summary>
internal static class LockTables
{
    /// <summary>The lock names for which runs wait.</summary>
    public static PageTable<WaitingName> WaitingNames { get; } = new(
        "Waiting",
        "No run waits. A run that waits for a lock appears here.",
        [
            LockName<WaitingName>(static row => row.Key, static row => row.Name),
            new("Runs", ColumnKind.Number, static (row, _) => row.Unserved == 0 ? Number(row.Length) : Markup.Of($"{row.Length} <strong>{row.Unserved} not served</strong>")),
            new("First since", ColumnKind.Value, static (row, html) => html.Instant(row.Since)),
            new("Held by", ColumnKind.Text, static (row, html) => row.Holder is { } holder ? Holder(holder, html) : html.Missing("no holder at the moment")),
            new("Usual hold", ColumnKind.Value, static (row, html) => UsualHold(row.UsualHold, html)),
        ]);

    /// <summary>The held locks.</summary>
    public static PageTable<HeldLock> HeldLocks { get; } = new(
        "Held",
        "No lock is held. A lock appears here while a run, or a program in any language, holds it.",
        [
            LockName<HeldLock>(static row => row.NameKey, static row => row.Name),
            new("Held by", ColumnKind.Text, static (row, html) => Holder(row.Holder, html)),
            new("Since", ColumnKind.Value, static (row, html) => Since(row.Holder, html)),
            new("Mode", ColumnKind.Word, static (row, _) => Mode(row.Mode)),
            new("Usual hold", ColumnKind.Value, static (row, html) => UsualHold(row.UsualHold, html)),
        ]);

    /// <summary>The holders of one lock name.</summary>
    public static PageTable<HeldLock> Holders { get; } = new(
        "Held by",
        "The lock is free. The next holder appears here.",
        [
            new("Holder", ColumnKind.Text, static (row, html) => Holder(row.Holder, html)),
            new("Since", ColumnKind.Value, static (row, html) => Since(row.Holder, html)),
            new("Mode", ColumnKind.Word, static (row, _) => Mode(row.Mode)),
        ]);

    /// <summary>The runs that wait for one lock name.</summary>
    public static PageTable<QueuedRun> QueuedRuns { get; } = new(
        "Waiting, in order",
        "No run waits for it.",
        [
            new("Position", ColumnKind.Number, static (row, _) => Number(row.Position)),
            new("Run", ColumnKind.Text, static (row, html) => html.Run(row, DisplayText.Name($"{row.Scheduler} {row.Job ?? row.Run}"), DisplayText.Name(row.Run))),
            new("Since", ColumnKind.Value, static (row, html) => html.Instant(row.Since)),
            new("Mode", ColumnKind.Word, static (row, _) => Mode(row.Mode)),
            new("Woken", ColumnKind.Value, WakeState),
        ]);

    /// <summary>The column with lock names that link to their pages.</summary>
    /// <typeparam name="TRow">The type of the rows.</typeparam>
    /// <param name="key">The key of the name of a row.</param>
    /// <param name="name">The name of a row; null where it is unknown.</param>
    public static Column<TRow> LockName<TRow>(Func<TRow, LockKey> key, Func<TRow, string?> name) => new("Name", ColumnKind.LockName, (row, html) =>
    {
        var title = PageTexts.NameOf(key(row), name(row));
        return html.LockName(key(row), DisplayText.Short(title), title);
    });

    /// <summary>The holder of a lock.</summary>
    public static Markup Holder(LockHolder holder, ICellHtml html) => html.Holder(holder, DisplayText.OneLine(holder.ToString()));

    /// <summary>An instant that may be unknown.</summary>
    public static Markup Instant(DateTimeOffset? instant, ICellHtml html) => instant is { } at ? html.Instant(at) : html.Missing("not known");

    /// <summary>How long a run holds a lock on average.</summary>
    public static Markup UsualHold(TimeSpan? usual, ICellHtml html) => usual is { } time ? Markup.Of($"{DisplayText.Time(time)}") : html.Missing("none yet");

    /// <summary>A number.</summary>
    public static Markup Number(long number) => Markup.Of($"{number.ToString(CultureInfo.InvariantCulture)}");

    private static Markup Since(LockHolder holder, ICellHtml html) => holder is { Since: null, ConnectedSince: { } connected }
        ? Markup.Of($"connected {html.Instant(connected)}")
        : Instant(holder.Since, html);

    private static Markup Mode(LockMode mode) => Markup.Of($"{(mode == LockMode.Shared ? "shared" : "exclusive")}");

    private static Markup WakeState(QueuedRun run, ICellHtml html) => run switch
    {
        { IsServed: false } => Markup.Of($"<strong title=\"{PageTexts.UnservedRun}\">not served</strong>"),
        { WokenAt: { } wokenAt } => html.Instant(wokenAt),
        { IsAboutToStart: true } => Markup.Of($"<span title=\"{PageTexts.AboutToStart}\">about to start</span>"),
        _ => html.Missing("not yet"),
    };
}
