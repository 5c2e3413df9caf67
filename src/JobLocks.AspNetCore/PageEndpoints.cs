using System.Globalization;
using System.Reflection;
using JobLocks.AspNetCore.Pages;
using JobLocks.Inspection;
using JobLocks.Primitives;
using Microsoft.AspNetCore.Antiforgery;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.Routing;
using Microsoft.AspNetCore.Routing.Patterns;
using Microsoft.Extensions.DependencyInjection;

namespace JobLocks.AspNetCore;

/// <summary>The pages, and the one thing that can be done on them.</summary>
internal sealed class PageEndpoints(JobLocksPageOptions options)
{
    private const string RefreshSeconds = "5";
    private const string Get = "GET";

    private const string Start = "/";
    private const string OfName = "/names/{key:long}";
    private const string Search = "/search";
    private const string Release = "/names/{key:long}/release";
    private const string ReleaseSlot = "/names/{key:long}/release/{slot:long}";

    private static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(5);

    private PageLooks? _looksOfOthers;

    public void Map(RouteGroupBuilder group)
    {
        group.MapGet(Start, OverviewAsync).AddEndpointFilter((context, next) => ExplainAsync(context, next, Start)).ExcludeFromDescription();
        group.MapGet(OfName, NameAsync).AddEndpointFilter((context, next) => ExplainAsync(context, next, OfName)).ExcludeFromDescription();
        group.MapGet(Search, SearchAsync).AddEndpointFilter((context, next) => ExplainAsync(context, next, Search)).ExcludeFromDescription();
        group.MapPost(Release, (HttpContext http, IJobLockInspector locks, long key, CancellationToken stop) => ReleaseAsync(http, locks, new(key), new(key), Release, stop))
            .AddEndpointFilter(IsSpelledOneWayAsync).AddEndpointFilter((context, next) => ExplainAsync(context, next, Release)).ExcludeFromDescription();
        group.MapPost(ReleaseSlot, (HttpContext http, IJobLockInspector locks, long key, long slot, CancellationToken stop) => ReleaseAsync(http, locks, new(key), new(slot), ReleaseSlot, stop))
            .AddEndpointFilter(IsSpelledOneWayAsync).AddEndpointFilter((context, next) => ExplainAsync(context, next, ReleaseSlot)).ExcludeFromDescription();
        group.MapGet("/page.css", static (HttpContext http) => Asset(http, "page.css", "text/css; charset=utf-8")).ExcludeFromDescription();
        group.MapGet("/page.js", static (HttpContext http) => Asset(http, "page.js", "text/javascript; charset=utf-8")).ExcludeFromDescription();
        foreach (var path in new[] { Start, OfName, Search, "/page.css", "/page.js" }) Answering.MapOthers(group, path, Get);
        foreach (var path in new[] { Release, ReleaseSlot }) Answering.MapOthers(group, path, "POST");
    }

    private async Task<IResult> OverviewAsync(HttpContext http, IJobLockInspector locks, CancellationToken stop)
    {
        var (heldFrom, waitingFrom) = (From(http, "held"), From(http, "waiting"));
        var look = heldFrom + (long)waitingFrom == 0
            ? await LooksOf(locks).ReadOverviewAsync(stop).ConfigureAwait(false)
            : await LooksOf(locks).ReadSnapshotAsync(heldFrom, waitingFrom, stop).ConfigureAwait(false);
        var at = BaseOf(http, Start);
        return Page(at, options.Title, new OverviewPage(at, look, heldFrom, waitingFrom).Render());
    }

    private async Task<IResult> NameAsync(HttpContext http, IJobLockInspector locks, long key, CancellationToken stop, [FromQuery] string? run = null)
    {
        var from = From(http, "skip");
        var name = await LooksOf(locks).ReadNameAsync(new(key), from, run, stop).ConfigureAwait(false);
        // Said even where the run is gone meanwhile: a page that is open goes on to say how it is.
        var sentence = string.IsNullOrEmpty(run) ? null : name.Explanation ?? $"{DisplayText.Short(DisplayText.Name(run))} neither waits nor runs.";
        var token = MayAct(http) ? http.RequestServices.GetService<IAntiforgery>()?.GetAndStoreTokens(http) : null;
        var shown = name.Name is null ? name.Key.ToString() : DisplayText.Short(DisplayText.Name(name.Name));
        var at = BaseOf(http, OfName);
        var told = ToldResult.Take(http, PathOf(at, name.Key), name.Key);
        return Page(at, $"{shown} · {options.Title}", new NamePage(at, name, from, token, told, sentence).Render());
    }

    private async Task<IResult> SearchAsync(HttpContext http, IJobLockInspector locks, CancellationToken stop, [FromQuery] string? q = null)
    {
        var found = await LooksOf(locks).FindAsync(q ?? "", stop).ConfigureAwait(false);
        var at = BaseOf(http, Search);
        return found is [var one]
            ? Results.Redirect($"{at}/names/{one.Key}{(await LooksOf(locks).ExplainAsync(q!, store: null, stop).ConfigureAwait(false) is null ? "" : $"?run={Uri.EscapeDataString(q!)}")}")
            : Page(at, $"Search · {options.Title}", new SearchPage(at, q ?? "", found).Render(), q);
    }

    private async Task<IResult> ReleaseAsync(HttpContext http, IJobLockInspector locks, LockKey key, LockKey slot, string own, CancellationToken stop)
    {
        if (!MayAct(http)) return Results.Text("You may look at the locks, but not ask for them.", statusCode: StatusCodes.Status403Forbidden);
        if (!SameOrigin.Allows(http.Request))
            return Results.Text("This request comes from a page of another site. Behind a proxy that changes the host, use UseForwardedHeaders with XForwardedHost.", statusCode: StatusCodes.Status403Forbidden);
        if (http.RequestServices.GetService<IAntiforgery>() is not { } antiforgery)
            return Results.Text("Nothing can be asked for here before builder.Services.AddAntiforgery() is called.", statusCode: StatusCodes.Status403Forbidden);
        if (await WhyNotAsync(antiforgery, http).ConfigureAwait(false) is { } reason)
            return Results.Text($"{reason} Load the page again and press the button once more.", statusCode: StatusCodes.Status400BadRequest);

        var by = http.User.Identity?.Name is { Length: > 0 } name ? DisplayText.Short(DisplayText.Name(name)) : $"somebody at {http.Connection.RemoteIpAddress?.ToString() ?? "this machine"}";
        // The application decides by the key in the address who may ask: no other lock can be asked for under it.
        var answer = (await locks.GetNameAsync(key, 0, 1, stop: stop).ConfigureAwait(false)).MayHave(slot)
            ? await locks.RequestReleaseAsync(slot, by, LongestWait, stop).ConfigureAwait(false)
            : ReleaseAnswer.WasFree;
        LooksOf(locks).Forget();
        var at = PathOf(BaseOf(http, own), key);
        ToldResult.Keep(http, at, key, answer);
        return Results.Redirect(at);
    }

    private static async Task<string?> WhyNotAsync(IAntiforgery antiforgery, HttpContext http)
    {
        try
        {
            return await antiforgery.IsRequestValidAsync(http).ConfigureAwait(false) ? null : "The form is too old, or not from this page.";
        }
        catch (AntiforgeryValidationException)
        {
            return "The form cannot be read.";
        }
    }

    /// <summary>Those of JobLocks itself, which the other dashboard of this process shares; or those of an inspector that the application has made.</summary>
    internal PageLooks LooksOf(IJobLockInspector locks) => locks is IPageInspector own ? own.Pages : LazyInitializer.EnsureInitialized(ref _looksOfOthers, () => new(locks));

    /// <summary>
    /// The application may decide by the address, as text, who may ask for which lock. Routing takes no notice of case and of a slash at the end, so a lock is asked for under one
    /// text only: the words as they were mapped, and numbers without zeros or spaces before them.
    /// </summary>
    private static ValueTask<object?> IsSpelledOneWayAsync(EndpointFilterInvocationContext context, EndpointFilterDelegate next)
    {
        var http = context.HttpContext;
        var mapped = (http.GetEndpoint() as RouteEndpoint)?.RoutePattern.PathSegments ?? [];
        var asked = http.Request.Path.Value!.Split('/')[1..];
        return asked.Length == mapped.Count && asked.Zip(mapped).All(of => IsSpelled(http, of.First, of.Second)) ? next(context) : new(Results.NotFound());
    }

    private static bool IsSpelled(HttpContext http, string asked, RoutePatternPathSegment mapped) => mapped.Parts switch
    {
        [RoutePatternLiteralPart word] => word.Content.Equals(asked, StringComparison.Ordinal),
        [RoutePatternParameterPart { Name: "key" or "slot" } number] => long.Parse((string)http.GetRouteValue(number.Name)!, CultureInfo.InvariantCulture).ToString(CultureInfo.InvariantCulture).Equals(asked, StringComparison.Ordinal),
        _ => true,
    };

    /// <summary>A person reads a page, and the page comes back by itself.</summary>
    private async ValueTask<object?> ExplainAsync(EndpointFilterInvocationContext context, EndpointFilterDelegate next, string own)
    {
        try
        {
            return await next(context).ConfigureAwait(false);
        }
        catch (Exception thrown) when (Refusal.Of(thrown) is { } refusal)
        {
            var http = context.HttpContext;
            refusal.TellWhen(http.Response);
            if (HttpMethods.IsGet(http.Request.Method)) http.Response.Headers["Refresh"] = RefreshSeconds;
            return Page(BaseOf(http, own), $"{refusal.Title} · {options.Title}", Markup.Of($"<h1>{refusal.Title}</h1><p class=\"note\" role=\"alert\">{DisplayText.Name(refusal.Detail, DisplayText.LongestMessage)}</p>"), status: refusal.Status);
        }
    }

    /// <summary>Which part of a list; the first where the address says none.</summary>
    private static int From(HttpContext http, string parameter) => int.TryParse(http.Request.Query[parameter], NumberStyles.None, CultureInfo.InvariantCulture, out var from) ? from : 0;

    private bool MayAct(HttpContext http) => !options.IsReadOnly(http);

    private IResult Page(string at, string title, Markup content, string? search = null, int status = StatusCodes.Status200OK) =>
        Results.Content(new Layout(at, options.Title, title, search ?? "").Render(content).ToString(), "text/html; charset=utf-8", statusCode: status);

    private static string PathOf(string at, LockKey key) => string.Create(CultureInfo.InvariantCulture, $"{at}/names/{key.Value}");

    /// <summary>Where the pages are, as the browser sees it.</summary>
    private static string BaseOf(HttpContext http, string own)
    {
        // By the address and not by the pattern: that may have places of its own, as "/{tenant}/joblocks" has.
        var at = (http.Request.PathBase + http.Request.Path).ToUriComponent().TrimEnd('/');
        for (var below = own.TrimEnd('/').Count('/'); below > 0; below--) at = at[..at.LastIndexOf('/')];
        return at;
    }

    private static IResult Asset(HttpContext http, string name, string type)
    {
        http.Response.Headers.CacheControl = "public, max-age=3600";
        return Results.Stream(Assembly.GetExecutingAssembly().GetManifestResourceStream(name)!, type);
    }
}
