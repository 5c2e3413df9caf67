using JobLocks.Inspection.Pages;
using Microsoft.AspNetCore.Antiforgery;

namespace JobLocks.AspNetCore.Pages;

/// <summary>Shows one lock name.</summary>
/// <param name="basePath">The base path of the pages.</param>
/// <param name="name">The lock name.</param>
/// <param name="from">The number of waiting runs before the part that is shown.</param>
/// <param name="token">The token for requests to release a lock; null if the viewer may not make them.</param>
/// <param name="result">The result of the last release request; null for none.</param>
/// <param name="sentence">Why the requested run does not start; null if no run was requested.</param>
internal sealed class NamePage(string basePath, NamedLock name, int from, AntiforgeryTokenSet? token, ReleaseAnswer? result, string? sentence)
{
    public Markup Render() => Markup.Of(
        $"""
        <h1><bdi>{PageTexts.NameOf(name.Key, name.Name)}</bdi></h1>
        <p class="faint">Key <code>{name.Key.Value}</code></p>
        {Result()}{Form()}{Sentence()}
        <section data-live="held" aria-labelledby="h-held">
        <h2 id="h-held" tabindex="-1">{LockTables.Holders.Heading}</h2>
        {Held()}
        </section>
        <section data-live="waiting" aria-labelledby="h-waiting">
        <h2 id="h-waiting" tabindex="-1">{LockTables.QueuedRuns.Heading}</h2>
        {Waiters()}
        </section>
        <section data-live="minutes" aria-labelledby="h-minutes">
        <h2 id="h-minutes" tabindex="-1">{TimelineTexts.Heading}</h2>
        {Timeline()}
        </section>
        <section data-live="hour" aria-labelledby="h-hour">
        <h2 id="h-hour" tabindex="-1">Last hour</h2>
        {HourPlot.Render(name.LastHour, DateTimeOffset.UtcNow)}
        <p>Since it was first seen: {name.Runs} runs, usual hold {LockTables.UsualHold(name.UsualHold, Cells.WithoutLink)}, {name.Refused} refused, {name.Waited} waited. {PageTexts.FreeWhileWaiting(name.LastHour)}</p>
        </section>
        """);

    private Markup Timeline() => name.Timeline switch
    {
        null => Parts.Empty(TimelineTexts.WhenUnreadable),
        { Runs.Count: 0 } => Parts.Empty(TimelineTexts.WhenEmpty),
        { } timeline => TimelinePlot.Render(timeline, Cells.WithoutLink),
    };

    private Markup Sentence() => sentence is null ? Markup.None : Markup.Of($"<p class=\"note\" data-live=\"run\">{sentence}</p>");

    private Markup Result() => result switch
    {
        ReleaseAnswer.Released => Note("It was released."),
        ReleaseAnswer.WasFree => Note("It was free already."),
        ReleaseAnswer.StillHeld => Note("It is still held. The run was told to stop: it ends when it checks its cancellation token, or when its work is done."),
        ReleaseAnswer.IsForeign => Note("Its holder does not use JobLocks and cannot be asked. A database role with the right to do so (pg_signal_backend) can end its session in PostgreSQL."),
        _ => Markup.None,
    };

    private static Markup Note(string text) => Markup.Of($"<p class=\"note\" role=\"alert\">{text}</p>");

    private Markup Held() => name.Held.Count == 0
        ? Parts.Empty(LockTables.Holders.WhenEmpty)
        : Parts.Table(LockTables.Holders.Columns, Parts.WithIds(name.Held), basePath, Release);

    /// <summary>
    /// One form for all buttons. It is outside of the live parts: the token differs in each answer, and a live part must change only when its data change.
    /// </summary>
    private Markup Form() => token is null
        ? Markup.None
        : Markup.Of($"<form id=\"ask\" method=\"post\" action=\"{basePath}/names/{name.Key.Value}/release\"><input type=\"hidden\" name=\"{token.FormFieldName}\" value=\"{token.RequestToken}\"></form>");

    private Markup Release(HeldLock held, string id) => token is null || held.Holder.IsForeign
        ? Markup.None
        : Markup.Of(
            $"""
            <button form="ask" formaction="{basePath}/names/{name.Key.Value}/release/{held.Key.Value}" id="release-{id}" title="The run is cancelled; the lock is free when it has ended">{PageTexts.RequestRelease}</button>
            """);

    private Markup Waiters() => name.Waiting.Total == 0
        ? Parts.Empty(LockTables.QueuedRuns.WhenEmpty)
        : Markup.Of(
            $"""
            {Parts.Table(LockTables.QueuedRuns.Columns, name.Waiting.Items.Select(static run => (run, "")), basePath)}
            {Parts.Pager($"{basePath}/names/{name.Key}", "skip", ListPart.Of(name.Waiting, from))}
            """);
}
