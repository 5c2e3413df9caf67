using JobLocks.Inspection;
using JobLocks.Primitives;
using Microsoft.AspNetCore.Antiforgery;

namespace JobLocks.AspNetCore.Pages;

/// <summary>Everything about one name.</summary>
/// <param name="at">Where the pages are.</param>
/// <param name="name">The name.</param>
/// <param name="from">How many wait before the part of its wait queue that is shown.</param>
/// <param name="token">Lets the viewer ask a holder to let go; null where he may not.</param>
/// <param name="told">What came of the act before this page; null for none.</param>
/// <param name="sentence">Why the run that was looked for does not start; null where none was.</param>
internal sealed class NamePage(string at, NamedLock name, int from, AntiforgeryTokenSet? token, ReleaseAnswer? told, string? sentence)
{
    public Markup Render() => Markup.Of(
        $"""
        <h1><bdi>{(name.Name is null ? $"key {name.Key}" : DisplayText.Name(name.Name))}</bdi></h1>
        <p class="faint">Key <code>{name.Key.Value}</code></p>
        {Told()}{Form()}{Sentence()}
        <section data-live="held" aria-labelledby="h-held">
        <h2 id="h-held" tabindex="-1">Held by</h2>
        {Held()}
        </section>
        <section data-live="line" aria-labelledby="h-line">
        <h2 id="h-line" tabindex="-1">Waiting, in order</h2>
        {Line()}
        </section>
        <section data-live="hour" aria-labelledby="h-hour">
        <h2 id="h-hour" tabindex="-1">Last hour</h2>
        {HourPlot.Render(name.LastHour, DateTimeOffset.UtcNow)}
        <p>Since it was first seen: {name.Runs} runs, usual hold {Parts.Usual(name.UsualHold)}, {name.Refused} refused, {name.Waited} waited.</p>
        </section>
        """);

    private Markup Sentence() => sentence is null ? Markup.None : Markup.Of($"<p class=\"note\" data-live=\"run\">{sentence}</p>");

    private Markup Told() => told switch
    {
        ReleaseAnswer.Released => Note("It was let go."),
        ReleaseAnswer.WasFree => Note("Nobody had it any more."),
        ReleaseAnswer.StillHeld => Note("Its holder was told to stop, and has it still: a run ends when it looks at its token, or by itself."),
        ReleaseAnswer.IsForeign => Note("Its holder is none of ours, and cannot be asked. Whoever may can end its session in PostgreSQL."),
        _ => Markup.None,
    };

    private static Markup Note(string text) => Markup.Of($"<p class=\"note\" role=\"alert\">{text}</p>");

    private Markup Held() => name.Held.Count == 0
        ? Markup.Of($"<p class=\"empty\">Nobody. Whoever takes it appears here.</p>")
        : Markup.Of(
            $"""
            <table>
            <thead><tr><th scope="col">Holder</th><th scope="col">Since</th><th scope="col">Mode</th><th scope="col"><span class="unseen">What can be done</span></th></tr></thead>
            <tbody>{Markup.Join(Parts.WithIds(name.Held).Select(row => Markup.Of(
                $"""
                <tr><td data-label="Holder">{Parts.Holder(row.One.Holder)}</td><td data-label="Since">{Parts.Since(row.One.Holder)}</td><td data-label="Mode" class="word">{(row.One.Mode == LockMode.Shared ? "shared" : "exclusive")}</td><td>{Release(row.One, row.Id)}</td></tr>

                """)))}</tbody>
            </table>
            """);

    /// <summary>Of all buttons: the token is another one each time, and what is live changes only when something happened.</summary>
    private Markup Form() => token is null
        ? Markup.None
        : Markup.Of($"<form id=\"ask\" method=\"post\" action=\"{at}/names/{name.Key.Value}/release\"><input type=\"hidden\" name=\"{token.FormFieldName}\" value=\"{token.RequestToken}\"></form>");

    private Markup Release(HeldLock one, string id) => token is null || one.Holder.IsForeign
        ? Markup.None
        : Markup.Of(
            $"""
            <button form="ask" formaction="{at}/names/{name.Key.Value}/release/{one.Key.Value}" id="release-{id}" title="The run is cancelled; the lock is free when it has ended">Ask to let go</button>
            """);

    private Markup Line() => name.Waiting.Total == 0
        ? Markup.Of($"<p class=\"empty\">No run waits for it.</p>")
        : Markup.Of(
            $"""
            <table>
            <thead><tr><th scope="col">Place</th><th scope="col">Run</th><th scope="col">Since</th><th scope="col">Mode</th><th scope="col">Its turn</th></tr></thead>
            <tbody>{Markup.Join(name.Waiting.Items.Select(static one => Markup.Of(
                $"""
                <tr><td data-label="Place" class="number">{one.Place}</td><td data-label="Run"><bdi title="{DisplayText.Name(one.Run)}">{DisplayText.Name($"{one.Scheduler} {one.Job ?? one.Run}")}</bdi></td><td data-label="Since">{Parts.Time(one.Since)}</td><td data-label="Mode" class="word">{(one.Mode == LockMode.Shared ? "shared" : "exclusive")}</td><td data-label="Its turn">{Turn(one)}</td></tr>

                """)))}</tbody>
            </table>
            {Parts.Pager($"{at}/names/{name.Key}", "skip", from, name.Waiting.Items.Count, name.Waiting.Total)}
            """);

    private static Markup Turn(QueuedRun one) => one switch
    {
        { IsServed: false } => Markup.Of($"<strong title=\"{UnservedNotice.OfRun}\">not served</strong>"),
        { TurnCame: { } turn } => Markup.Of($"came {Parts.Time(turn)}"),
        _ => Markup.Of($"<span class=\"faint\">not yet</span>"),
    };
}
