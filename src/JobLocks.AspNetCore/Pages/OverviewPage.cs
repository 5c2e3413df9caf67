using JobLocks.Inspection;
using JobLocks.Primitives;

namespace JobLocks.AspNetCore.Pages;

/// <summary>What is held, what waits, who takes locks.</summary>
internal sealed class OverviewPage(string at, LockSnapshot look, int heldFrom, int waitingFrom)
{
    public Markup Render() => Markup.Of(
        $"""
        <h1 class="unseen">Overview</h1>
        <section class="numbers" data-live="numbers">
        <p><b>{look.Held.Total}</b> held</p>
        <p><b>{look.Overview.Waiting}</b> waiting</p>
        <p><b>{look.Overview.Processes.Count}</b> {(look.Overview.Processes.Count == 1 ? "process" : "processes")}</p>
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

    private Markup NoNames() => look.Overview.HasNames
        ? Markup.None
        : Markup.Of($"<p class=\"note\">Names, runs and lines cannot be read here: the schema of JobLocks is not there, or this role may not read it. See the GRANT lines in docs/schema.sql.</p>");

    private Markup InternalLocks() => look.Overview.InternalLockHolders.Count == 0
        ? Markup.None
        : Markup.Of(
            $"""
            <h2>Internal locks held by others</h2>
            <p class="note">A program that is not JobLocks holds locks that JobLocks needs for its own work.</p>
            <ul>{Markup.Join(look.Overview.InternalLockHolders.Select(static one => Markup.Of($"<li><bdi>{DisplayText.OneLine(one.ToString())}</bdi></li>")))}</ul>
            """);

    private Markup Waiting() => look.Waiting.Total == 0
        ? Markup.Of($"<p class=\"empty\">No run waits. A run that meets a held lock appears here, with its place in the line.</p>")
        : Markup.Of(
            $"""
            <table>
            <thead><tr><th scope="col">Name</th><th scope="col">Runs</th><th scope="col">First since</th><th scope="col">Held by</th><th scope="col">Usual hold</th></tr></thead>
            <tbody>{Markup.Join(look.Waiting.Items.Select(one => Markup.Of(
                $"""
                <tr><td data-label="Name">{Parts.Link(at, $"waiting-{one.Key}", one.Key, one.Name)}</td><td data-label="Runs" class="number">{one.Length}{NotServed(one)}</td><td data-label="First since">{Parts.Time(one.Since)}</td><td data-label="Held by">{(one.Holder is { } holder ? Parts.Holder(holder) : Markup.Of($"<span class=\"faint\">nobody at the moment</span>"))}</td><td data-label="Usual hold">{Parts.Usual(one.UsualHold)}</td></tr>

                """)))}</tbody>
            </table>
            {(look.Waiting.Items.Any(static one => one.Unserved > 0) ? Markup.Of($"<p class=\"note\">{UnservedNotice.OfRuns}</p>") : Markup.None)}
            {Parts.Pager($"{at}/", "waiting", waitingFrom, look.Waiting.Items.Count, look.Waiting.Total)}
            """);

    private static Markup NotServed(WaitingName name) => name.Unserved == 0 ? Markup.None : Markup.Of($" <strong>{name.Unserved} not served</strong>");

    private Markup Held() => look.Held.Total == 0
        ? Markup.Of($"<p class=\"empty\">Nothing is held. A lock appears here while a run, or a program in any language, has it.</p>")
        : Markup.Of(
            $"""
            <table>
            <thead><tr><th scope="col">Name</th><th scope="col">Held by</th><th scope="col">Since</th><th scope="col">Mode</th><th scope="col">Usual hold</th></tr></thead>
            <tbody>{Markup.Join(Parts.WithIds(look.Held.Items).Select(row => Markup.Of(
                $"""
                <tr><td data-label="Name">{Parts.Link(at, $"held-{row.Id}", row.One.Line, row.One.Name)}</td><td data-label="Held by">{Parts.Holder(row.One.Holder)}</td><td data-label="Since">{Parts.Since(row.One.Holder)}</td><td data-label="Mode" class="word">{(row.One.Mode == LockMode.Shared ? "shared" : "exclusive")}</td><td data-label="Usual hold">{Parts.Usual(row.One.UsualHold)}</td></tr>

                """)))}</tbody>
            </table>
            {Parts.Pager($"{at}/", "held", heldFrom, look.Held.Items.Count, look.Held.Total)}
            """);

    private Markup Processes() => look.Overview.Processes.Count == 0
        ? Markup.Of($"<p class=\"empty\">No process has a session. One opens it with its first lock.</p>")
        : Markup.Of(
            $"""
            <table>
            <thead><tr><th scope="col">Process</th><th scope="col">Locks</th><th scope="col">Session</th><th scope="col">Connected since</th><th scope="col">Backend</th></tr></thead>
            <tbody>{Markup.Join(look.Overview.Processes.Select(static one => Markup.Of(
                $"""
                <tr><td data-label="Process">{Parts.Holder(one.Session)}</td><td data-label="Locks" class="number">{one.Locks}</td><td data-label="Session">{(one.Session.IsForeign ? "connected, none of ours" : "connected, ours")}</td><td data-label="Connected since">{Parts.Time(one.Session.ConnectedSince)}</td><td data-label="Backend" class="number">{one.Session.Backend}</td></tr>

                """)))}</tbody>
            </table>
            <p class="faint">A process stands here while PostgreSQL has its session. When that ends, its locks are free, and it is gone from here.</p>
            """);
}
