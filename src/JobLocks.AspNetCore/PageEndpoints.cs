using System.Globalization;
using System.Reflection;
using JobLocks.AspNetCore.Pages;
using JobLocks.Inspection;
using JobLocks.Inspection.Pages;
using JobLocks.Primitives;
using Microsoft.AspNetCore.Antiforgery;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.Routing;
using Microsoft.AspNetCore.Routing.Patterns;
using Microsoft.Extensions.DependencyInjection;

namespace JobLocks.AspNetCore;

/// <summary>Maps the pages, and the request to release a lock.</summary>
internal sealed class PageEndpoints(JobLocksPageOptions options)
{
    private const string RefreshSeconds = "5";
    private const string Get = "GET";

    private const string Start = "/";
    private const string Name = "/names/{key:long}";
    private const string Search = "/search";
    private const string Release = "/names/{key:long}/release";
    private const string ReleaseSlot = "/names/{key:long}/release/{slot:long}";

    private static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(5);

    private PageReadings? _readingsOfCustomInspector;

    public void Map(RouteGroupBuilder group)
    {
        group.MapGet(Start, OverviewAsync).AddEndpointFilter((context, next) => RenderErrorsAsync(context, next, Start)).ExcludeFromDescription();
        group.MapGet(Name, NameAsync).AddEndpointFilter((context, next) => RenderErrorsAsync(context, next, Name)).ExcludeFromDescription();
        group.MapGet(Search, SearchAsync).AddEndpointFilter((context, next) => RenderErrorsAsync(context, next, Search)).ExcludeFromDescription();
        group.MapPost(Release, (HttpContext http, IJobLockInspector locks, long key, CancellationToken stop) => ReleaseAsync(http, locks, new(key), new(key), Release, stop))
            .AddEndpointFilter(RequireCanonicalPathAsync).AddEndpointFilter((context, next) => RenderErrorsAsync(context, next, Release)).ExcludeFromDescription();
        group.MapPost(ReleaseSlot, (HttpContext http, IJobLockInspector locks, long key, long slot, CancellationToken stop) => ReleaseAsync(http, locks, new(key), new(slot), ReleaseSlot, stop))
            .AddEndpointFilter(RequireCanonicalPathAsync).AddEndpointFilter((context, next) => RenderErrorsAsync(context, next, ReleaseSlot)).ExcludeFromDescription();
        group.MapGet("/page.css", static (HttpContext http) => Asset(http, "page.css", "text/css; charset=utf-8")).ExcludeFromDescription();
        group.MapGet("/plots.css", static (HttpContext http) => Asset(http, "plots.css", "text/css; charset=utf-8")).ExcludeFromDescription();
        group.MapGet("/plots-dark.css", static (HttpContext http) => Asset(http, "plots-dark.css", "text/css; charset=utf-8")).ExcludeFromDescription();
        group.MapGet("/page.js", static (HttpContext http) => Asset(http, "page.js", "text/javascript; charset=utf-8")).ExcludeFromDescription();
        foreach (var path in new[] { Start, Name, Search, "/page.css", "/plots.css", "/plots-dark.css", "/page.js" }) Answering.MapOthers(group, path, Get);
        foreach (var path in new[] { Release, ReleaseSlot }) Answering.MapOthers(group, path, "POST");
    }

    private async Task<IResult> OverviewAsync(HttpContext http, IJobLockInspector locks, CancellationToken stop)
    {
        var (heldFrom, waitingFrom) = (From(http, "held"), From(http, "waiting"));
        var snapshot = heldFrom + (long)waitingFrom == 0
            ? await ReadingsOf(locks).ReadOverviewAsync(stop).ConfigureAwait(false)
            : await ReadingsOf(locks).ReadSnapshotAsync(heldFrom, waitingFrom, stop).ConfigureAwait(false);
        var basePath = BaseOf(http, Start);
        return Page(basePath, options.Title, new OverviewPage(basePath, snapshot, heldFrom, waitingFrom).Render());
    }

    private async Task<IResult> NameAsync(HttpContext http, IJobLockInspector locks, long key, CancellationToken stop, [FromQuery] string? run = null)
    {
        var from = From(http, "skip");
        var name = await ReadingsOf(locks).ReadNameAsync(new(key), from, run, stop).ConfigureAwait(false);
        // A run that does not exist any more also gets a sentence, because an open page continues to show its state.
        var sentence = string.IsNullOrEmpty(run) ? null : name.Explanation ?? $"{DisplayText.Short(DisplayText.Name(run))} neither waits for a lock nor is known to hold one.";
        var token = MayRelease(http) ? http.RequestServices.GetService<IAntiforgery>()?.GetAndStoreTokens(http) : null;
        var text = name.Name is null ? name.Key.ToString() : DisplayText.Short(DisplayText.Name(name.Name));
        var basePath = BaseOf(http, Name);
        var result = ReleaseResultCookie.Take(http, PathOf(basePath, name.Key), name.Key);
        return Page(basePath, $"{text} · {options.Title}", new NamePage(basePath, name, from, token, result, sentence).Render());
    }

    private async Task<IResult> SearchAsync(HttpContext http, IJobLockInspector locks, CancellationToken stop, [FromQuery] string? q = null)
    {
        var found = await ReadingsOf(locks).FindAsync(q ?? "", stop).ConfigureAwait(false);
        var basePath = BaseOf(http, Search);
        return found is [var match]
            ? Results.Redirect($"{basePath}/names/{match.Key}{(await ReadingsOf(locks).ExplainAsync(q!, store: null, stop).ConfigureAwait(false) is null ? "" : $"?run={Uri.EscapeDataString(q!)}")}")
            : Page(basePath, $"Search · {options.Title}", new SearchPage(basePath, q ?? "", found).Render(), q);
    }

    private async Task<IResult> ReleaseAsync(HttpContext http, IJobLockInspector locks, LockKey key, LockKey slot, string route, CancellationToken stop)
    {
        if (!MayRelease(http)) return Results.Text("You may see the locks, but you may not request their release.", statusCode: StatusCodes.Status403Forbidden);
        if (!SameOrigin.Allows(http.Request))
            return Results.Text("This request comes from a page of another site. Behind a proxy that changes the host, use UseForwardedHeaders with XForwardedHost.", statusCode: StatusCodes.Status403Forbidden);
        if (http.RequestServices.GetService<IAntiforgery>() is not { } antiforgery)
            return Results.Text("Releases cannot be requested until builder.Services.AddAntiforgery() is called.", statusCode: StatusCodes.Status403Forbidden);
        if (await AntiforgeryErrorAsync(antiforgery, http).ConfigureAwait(false) is { } reason)
            return Results.Text($"{reason} Load the page again and press the button once more.", statusCode: StatusCodes.Status400BadRequest);

        var requestedBy = http.User.Identity?.Name is { Length: > 0 } name ? DisplayText.Short(DisplayText.Name(name)) : $"a user at {http.Connection.RemoteIpAddress?.ToString() ?? "this machine"}";
        // The application may authorize by the key in the path, so the slot must belong to this key.
        var answer = (await locks.GetNameAsync(key, 0, 1, stop: stop).ConfigureAwait(false)).Includes(slot)
            ? await RequestReleaseAsync(locks, key, slot, requestedBy, stop).ConfigureAwait(false)
            : ReleaseAnswer.WasFree;
        ReadingsOf(locks).Clear();
        var basePath = PathOf(BaseOf(http, route), key);
        ReleaseResultCookie.Keep(http, basePath, key, answer);
        return Results.Redirect(basePath);
    }

    private static Task<ReleaseAnswer> RequestReleaseAsync(IJobLockInspector locks, LockKey key, LockKey slot, string requestedBy, CancellationToken stop) => locks is IPageInspector own
        ? own.RequestReleaseAsync(key, slot, requestedBy, LongestWait, stop)
        : locks.RequestReleaseAsync(slot, requestedBy, LongestWait, stop);

    private static async Task<string?> AntiforgeryErrorAsync(IAntiforgery antiforgery, HttpContext http)
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

    /// <summary>
    /// The cached reads of an inspector. Those of JobLocks are shared with the other dashboard of this process; a custom inspector has its own.
    /// </summary>
    internal PageReadings ReadingsOf(IJobLockInspector locks) => locks is IPageInspector inspector ? inspector.Pages : LazyInitializer.EnsureInitialized(ref _readingsOfCustomInspector, () => new(locks));

    /// <summary>
    /// Requires the canonical path: the segments as they were mapped, numbers without leading zeros or spaces, and no trailing slash. Routing ignores case
    /// and a trailing slash, but the application may authorize each lock by the text of the path. So each lock must have only one.
    /// </summary>
    private static ValueTask<object?> RequireCanonicalPathAsync(EndpointFilterInvocationContext context, EndpointFilterDelegate next)
    {
        var http = context.HttpContext;
        var mapped = (http.GetEndpoint() as RouteEndpoint)?.RoutePattern.PathSegments ?? [];
        var requested = http.Request.Path.Value!.Split('/')[1..];
        return requested.Length == mapped.Count && requested.Zip(mapped).All(segment => IsCanonical(http, segment.First, segment.Second)) ? next(context) : new(Results.NotFound());
    }

    private static bool IsCanonical(HttpContext http, string requested, RoutePatternPathSegment mapped) => mapped.Parts switch
    {
        [RoutePatternLiteralPart word] => word.Content.Equals(requested, StringComparison.Ordinal),
        [RoutePatternParameterPart { Name: "key" or "slot" } number] => NumberIn(http, number.Name).Equals(requested, StringComparison.Ordinal),
        _ => true,
    };

    private static string NumberIn(HttpContext http, string parameter) =>
        long.Parse((string)http.GetRouteValue(parameter)!, CultureInfo.InvariantCulture).ToString(CultureInfo.InvariantCulture);

    /// <summary>Renders an error as a page, which reloads itself.</summary>
    private async ValueTask<object?> RenderErrorsAsync(EndpointFilterInvocationContext context, EndpointFilterDelegate next, string route)
    {
        try
        {
            return await next(context).ConfigureAwait(false);
        }
        catch (Exception thrown) when (Refusal.Of(thrown) is { } refusal)
        {
            var http = context.HttpContext;
            refusal.SetRetryAfter(http.Response);
            if (HttpMethods.IsGet(http.Request.Method)) http.Response.Headers["Refresh"] = RefreshSeconds;
            return Page(BaseOf(http, route), $"{refusal.Title} · {options.Title}", Markup.Of($"<h1>{refusal.Title}</h1><p class=\"note\" role=\"alert\">{DisplayText.Name(refusal.Detail, DisplayText.LongestMessage)}</p>"), status: refusal.Status);
        }
    }

    /// <summary>The start of the requested part of a list; 0 if the query does not contain it.</summary>
    private static int From(HttpContext http, string parameter) => ListPart.StartIn(http.Request.Query[parameter]);

    private bool MayRelease(HttpContext http) => !options.IsReadOnly(http);

    private IResult Page(string basePath, string title, Markup content, string? search = null, int status = StatusCodes.Status200OK) =>
        Results.Content(new Layout(basePath, options.Title, title, search ?? "").Render(content).ToString(), "text/html; charset=utf-8", statusCode: status);

    private static string PathOf(string basePath, LockKey key) => string.Create(CultureInfo.InvariantCulture, $"{basePath}/names/{key.Value}");

    /// <summary>The base path of the pages, as the browser sees it.</summary>
    private static string BaseOf(HttpContext http, string route)
    {
        // Computed from the path of the request, because the pattern may have parameters, as in "/{tenant}/joblocks".
        var basePath = (http.Request.PathBase + http.Request.Path).ToUriComponent().TrimEnd('/');
        for (var segments = route.TrimEnd('/').Count('/'); segments > 0; segments--) basePath = basePath[..basePath.LastIndexOf('/')];
        return basePath;
    }

    private static IResult Asset(HttpContext http, string name, string type)
    {
        http.Response.Headers.CacheControl = "public, max-age=3600";
        return Results.Stream(Assembly.GetExecutingAssembly().GetManifestResourceStream(name)!, type);
    }
}
