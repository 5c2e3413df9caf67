using JobLocks.Inspection;
using JobLocks.Primitives;

namespace JobLocks.AspNetCore.Pages;

/// <summary>Shows the held locks, the lock names with waiting runs, and the connected processes.</summary>
internal sealed class OverviewPage(string basePath, LockSnapshot snapshot, int heldFrom, int waitingFrom)
{
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
        <section data-live="waiting" aria-labelledby="h-waiting">
        <h2 id="h-waiting" tabindex="-1">Waiting</h2>
        {Waiting()}
        </section>
        <section data-live="held" aria-labelledby="h-held">
        <h2 id="h-held" tabindex="-1">Held</h2>
        {Held()}
        </section>
        <section data-live="processes" aria-labelledby="h-processes">
        <h2 id="h-processes" tabindex="-1">Processes</h2>
        {Processes()}
        </section>
        """);

    private Markup NoNames() => snapshot.Overview.HasNames
        ? Markup.None
        : Markup.Of($"<p class=\"note\">Names, runs and lines cannot be read here: the schema of JobLocks is not there, or this role may not read it. See the GRANT lines in docs/schema.sql.</p>");

    private Markup InternalLocks() => snapshot.Overview.InternalLockHolders.Count == 0
        ? Markup.None
        : Markup.Of(
            $"""
            <h2>Internal locks held by others</h2>
            <p class="note">A program that is not JobLocks holds locks that JobLocks needs for its own work.</p>
            <ul>{Markup.Join(snapshot.Overview.InternalLockHolders.Select(static holder => Markup.Of($"<li><bdi>{DisplayText.OneLine(holder.ToString())}</bdi></li>")))}</ul>
            """);

    private Markup Waiting() => snapshot.Waiting.Total == 0
        ? Markup.Of($"<p class=\"empty\">No run waits. A run that meets a held lock appears here, with its place in the line.</p>")
        : Markup.Of(
            $"""
            <table>
            <thead><tr><th scope="col">Name</th><th scope="col">Runs</th><th scope="col">First since</th><th scope="col">Held by</th><th scope="col">Usual hold</th></tr></thead>
            <tbody>{Markup.Join(snapshot.Waiting.Items.Select(row => Markup.Of(
                $"""
                <tr><td data-label="Name">{Parts.Link(basePath, $"waiting-{row.Key}", row.Key, row.Name)}</td><td data-label="Runs" class="number">{row.Length}{NotServed(row)}</td><td data-label="First since">{Parts.Time(row.Since)}</td><td data-label="Held by">{(row.Holder is { } holder ? Parts.Holder(holder) : Markup.Of($"<span class=\"faint\">no holder at the moment</span>"))}</td><td data-label="Usual hold">{Parts.Usual(row.UsualHold)}</td></tr>

                """)))}</tbody>
            </table>
            {(snapshot.Waiting.Items.Any(static row => row.Unserved > 0) ? Markup.Of($"<p class=\"note\">{UnservedNotice.OfRuns}</p>") : Markup.None)}
            {Parts.Pager($"{basePath}/", "waiting", waitingFrom, snapshot.Waiting.Items.Count, snapshot.Waiting.Total)}
            """);

    private static Markup NotServed(WaitingName name) => name.Unserved == 0 ? Markup.None : Markup.Of($" <strong>{name.Unserved} not served</strong>");

    private Markup Held() => snapshot.Held.Total == 0
        ? Markup.Of($"<p class=\"empty\">Nothing is held. A lock appears here while a run, or a program in any language, has it.</p>")
        : Markup.Of(
            $"""
            <table>
            <thead><tr><th scope="col">Name</th><th scope="col">Held by</th><th scope="col">Since</th><th scope="col">Mode</th><th scope="col">Usual hold</th></tr></thead>
            <tbody>{Markup.Join(Parts.WithIds(snapshot.Held.Items).Select(row => Markup.Of(
                $"""
                <tr><td data-label="Name">{Parts.Link(basePath, $"held-{row.Id}", row.Lock.Line, row.Lock.Name)}</td><td data-label="Held by">{Parts.Holder(row.Lock.Holder)}</td><td data-label="Since">{Parts.Since(row.Lock.Holder)}</td><td data-label="Mode" class="word">{(row.Lock.Mode == LockMode.Shared ? "shared" : "exclusive")}</td><td data-label="Usual hold">{Parts.Usual(row.Lock.UsualHold)}</td></tr>

                """)))}</tbody>
            </table>
            {Parts.Pager($"{basePath}/", "held", heldFrom, snapshot.Held.Items.Count, snapshot.Held.Total)}
            """);

    private Markup Processes() => snapshot.Overview.Processes.Count == 0
        ? Markup.Of($"<p class=\"empty\">No process has a session. One opens it with its first lock.</p>")
        : Markup.Of(
            $"""
            <table>
            <thead><tr><th scope="col">Process</th><th scope="col">Locks</th><th scope="col">Session</th><th scope="col">Connected since</th><th scope="col">Backend</th></tr></thead>
            <tbody>{Markup.Join(snapshot.Overview.Processes.Select(static row => Markup.Of(
                $"""
                <tr><td data-label="Process">{Parts.Holder(row.Session)}</td><td data-label="Locks" class="number">{row.Locks}</td><td data-label="Session">{(row.Session.IsForeign ? "connected, none of ours" : "connected, ours")}</td><td data-label="Connected since">{Parts.Time(row.Session.ConnectedSince)}</td><td data-label="Backend" class="number">{row.Session.Backend}</td></tr>

                """)))}</tbody>
            </table>
            <p class="faint">A process stands here while PostgreSQL has its session. When that ends, its locks are free, and it is gone from here.</p>
            """);
}
