using JobLocks.Inspection.Pages;
using JobLocks.Primitives;

namespace JobLocks.AspNetCore.Pages;

/// <summary>Shows the held locks, the lock names with waiting runs, and the connected processes.</summary>
internal sealed class OverviewPage(string basePath, LockSnapshot snapshot, int heldFrom, int waitingFrom)
{
    private static readonly IReadOnlyList<Column<LockProcess>> ProcessColumns =
    [
        new("Process", ColumnKind.Text, static (row, html) => LockTables.Holder(row.Session, html)),
        new("Locks", ColumnKind.Number, static (row, _) => LockTables.Number(row.Locks)),
        new("Session", ColumnKind.Text, static (row, _) => Markup.Of($"{(row.Session.IsForeign ? "connected, not JobLocks" : "connected, JobLocks")}")),
        new("Connected since", ColumnKind.Value, static (row, html) => LockTables.Instant(row.Session.ConnectedSince, html)),
        new("Backend", ColumnKind.Number, static (row, _) => LockTables.Number(row.Session.Backend)),
    ];

    public Markup Render() => Markup.Of(
        $"""
        <h1 class="unseen">Overview</h1>
        <section class="numbers" data-live="numbers">
        <p><b>{snapshot.Held.Total}</b> held</p>
        <p><b>{snapshot.Overview.Waiting}</b> waiting</p>
        <p><b>{snapshot.Overview.Processes.Count}</b> {(snapshot.Overview.Processes.Count == 1 ? "process" : "processes")}</p>
        </section>
        {NoNames()}
        <section data-live="internal">{InternalLocks()}</section>
        <section data-live="samples" aria-labelledby="h-samples">
        <h2 id="h-samples" tabindex="-1">{SamplesPlot.Heading}</h2>
        {Samples()}
        </section>
        <section data-live="waiting" aria-labelledby="h-waiting">
        <h2 id="h-waiting" tabindex="-1">{LockTables.WaitingNames.Heading}</h2>
        {Waiting()}
        </section>
        <section data-live="held" aria-labelledby="h-held">
        <h2 id="h-held" tabindex="-1">{LockTables.HeldLocks.Heading}</h2>
        {Held()}
        </section>
        <section data-live="processes" aria-labelledby="h-processes">
        <h2 id="h-processes" tabindex="-1">Processes</h2>
        {Processes()}
        </section>
        """);

    private Markup NoNames() => snapshot.Overview.HasNames
        ? Markup.None
        : Markup.Of($"<p class=\"note\">Lock names, runs and wait queues cannot be shown: the schema of JobLocks does not exist, or this role may not read it. See the GRANT lines in docs/schema.sql.</p>");

    private Markup InternalLocks() => snapshot.Overview.InternalLockHolders.Count == 0
        ? Markup.None
        : Markup.Of(
            $"""
            <h2>Internal locks held by others</h2>
            <p class="note">{PageTexts.InternalLocks}</p>
            <ul>{Markup.Join(snapshot.Overview.InternalLockHolders.Select(static holder => Markup.Of($"<li><bdi>{DisplayText.OneLine(holder.ToString())}</bdi></li>")))}</ul>
            """);

    private Markup Samples() => snapshot.Overview is { Samples.Count: > 0 } overview
        ? SamplesPlot.Render(overview.Samples, overview.At, Cells.WithoutLink)
        : Parts.Empty(SamplesPlot.WhenEmpty);

    private Markup Waiting() => snapshot.Waiting.Total == 0
        ? Parts.Empty(LockTables.WaitingNames.WhenEmpty)
        : Markup.Of(
            $"""
            {Parts.Table(LockTables.WaitingNames.Columns, snapshot.Waiting.Items.Select(static row => (row, $"waiting-{row.Key}")), basePath)}
            {(snapshot.Waiting.Items.Any(static row => row.Unserved > 0) ? Markup.Of($"<p class=\"note\">{PageTexts.UnservedRuns}</p>") : Markup.None)}
            {Parts.Pager($"{basePath}/", "waiting", ListPart.Of(snapshot.Waiting, waitingFrom))}
            """);

    private Markup Held() => snapshot.Held.Total == 0
        ? Parts.Empty(LockTables.HeldLocks.WhenEmpty)
        : Markup.Of(
            $"""
            {Parts.Table(LockTables.HeldLocks.Columns, Parts.WithIds(snapshot.Held.Items).Select(static row => (row.Lock, $"held-{row.Id}")), basePath)}
            {Parts.Pager($"{basePath}/", "held", ListPart.Of(snapshot.Held, heldFrom))}
            """);

    private Markup Processes() => snapshot.Overview.Processes.Count == 0
        ? Parts.Empty("No process has a session. A process opens it when its host starts, or with its first lock.")
        : Markup.Of(
            $"""
            {Parts.Table(ProcessColumns, snapshot.Overview.Processes.Select(static row => (row, "")), basePath)}
            <p class="faint">A process is listed while its session is open. When the session ends, its locks are free and the process is no longer listed.</p>
            """);
}
