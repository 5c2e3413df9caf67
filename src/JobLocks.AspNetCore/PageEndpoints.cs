using System.Globalization;
using System.Reflection;
using JobLocks.AspNetCore.Pages;
using JobLocks.Inspection;
using Microsoft.AspNetCore.Antiforgery;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;

namespace JobLocks.AspNetCore;

/// <summary>The pages, and the one thing that can be done on them.</summary>
internal sealed class PageEndpoints(JobLocksPageOptions options)
{
    private const int OnOnePage = 100;
    private const string RefreshSeconds = "5";

    private const string Start = "/";
    private const string OfName = "/names/{key:long}";
    private const string Search = "/search";
    private const string Release = "/names/{key:long}/release";

    private static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(5);

    private readonly SharedLook _beginning = new();

    public void Map(RouteGroupBuilder group)
    {
        group.MapGet(Start, OverviewAsync).AddEndpointFilter((context, next) => ExplainAsync(context, next, Start)).ExcludeFromDescription();
        group.MapGet(OfName, NameAsync).AddEndpointFilter((context, next) => ExplainAsync(context, next, OfName)).ExcludeFromDescription();
        group.MapGet(Search, SearchAsync).AddEndpointFilter((context, next) => ExplainAsync(context, next, Search)).ExcludeFromDescription();
        group.MapPost(Release, ReleaseAsync).AddEndpointFilter((context, next) => ExplainAsync(context, next, Release)).ExcludeFromDescription();
        group.MapGet("/page.css", static (HttpContext http) => Asset(http, "page.css", "text/css; charset=utf-8")).ExcludeFromDescription();
        group.MapGet("/page.js", static (HttpContext http) => Asset(http, "page.js", "text/javascript; charset=utf-8")).ExcludeFromDescription();
    }

    private async Task<IResult> OverviewAsync(HttpContext http, IJobLockInspector locks, CancellationToken stop, [FromQuery] int held = 0, [FromQuery] int waiting = 0)
    {
        var (heldFrom, waitingFrom) = (Math.Max(0, held), Math.Max(0, waiting));
        var look = heldFrom + (long)waitingFrom == 0
            ? await _beginning.ReadAsync(locks, stop).ConfigureAwait(false)
            : await locks.GetSnapshotAsync(heldFrom, waitingFrom, stop: stop).ConfigureAwait(false);
        var at = BaseOf(http, Start);
        return Page(http, at, options.Title, new OverviewPage(at, look, heldFrom, waitingFrom).Render());
    }

    private async Task<IResult> NameAsync(HttpContext http, IJobLockInspector locks, long key, CancellationToken stop, [FromQuery] int skip = 0, [FromQuery] string? told = null, [FromQuery] string? run = null)
    {
        var from = Math.Max(0, skip);
        var name = await locks.GetNameAsync(new(key), from, OnOnePage, run, stop).ConfigureAwait(false);
        // Said even where the run is gone meanwhile: a page that is open goes on to say how it is.
        var sentence = string.IsNullOrEmpty(run) ? null : name.Explanation ?? $"{Shown.Short(Shown.Name(run))} neither waits nor runs.";
        var token = MayAct(http) ? http.RequestServices.GetService<IAntiforgery>()?.GetAndStoreTokens(http) : null;
        var shown = name.Name is null ? name.Key.ToString() : Shown.Short(Shown.Name(name.Name));
        var at = BaseOf(http, OfName);
        return Page(http, at, $"{shown} · {options.Title}", new NamePage(at, name, from, token, told, sentence).Render());
    }

    private async Task<IResult> SearchAsync(HttpContext http, IJobLockInspector locks, CancellationToken stop, [FromQuery] string? q = null)
    {
        var found = await locks.FindAsync(q ?? "", stop).ConfigureAwait(false);
        var at = BaseOf(http, Search);
        return found is [var one]
            ? Results.Redirect($"{at}/names/{one.Key}{(await locks.ExplainAsync(q!, stop).ConfigureAwait(false) is null ? "" : $"?run={Uri.EscapeDataString(q!)}")}")
            : Page(http, at, $"Search · {options.Title}", new SearchPage(at, q ?? "", found).Render(), q);
    }

    private async Task<IResult> ReleaseAsync(HttpContext http, IJobLockInspector locks, long key, CancellationToken stop)
    {
        if (!MayAct(http)) return Results.Text("You may look at the locks, but not ask for them.", statusCode: StatusCodes.Status403Forbidden);
        if (http.RequestServices.GetService<IAntiforgery>() is not { } antiforgery)
            return Results.Text("Nothing can be asked for here before builder.Services.AddAntiforgery() is called.", statusCode: StatusCodes.Status403Forbidden);
        if (!await antiforgery.IsRequestValidAsync(http).ConfigureAwait(false))
            return Results.Text("The form is too old, or not from this page. Load the page again and press the button once more.", statusCode: StatusCodes.Status400BadRequest);

        // The key of a slot is asked for, and the page of its name is gone back to.
        var form = await http.Request.ReadFormAsync(stop).ConfigureAwait(false);
        var wanted = long.TryParse(form["key"], NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var slot) ? slot : key;
        var by = http.User.Identity?.Name is { Length: > 0 } name ? Shown.Short(Shown.Name(name)) : $"somebody at {http.Connection.RemoteIpAddress?.ToString() ?? "this machine"}";
        var answer = await locks.RequestReleaseAsync(new(wanted), by, LongestWait, stop).ConfigureAwait(false);
        return Results.Redirect($"{BaseOf(http, Release)}/names/{key.ToString(CultureInfo.InvariantCulture)}?told={answer}");
    }

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
            if (HttpMethods.IsGet(http.Request.Method)) http.Response.Headers["Refresh"] = RefreshSeconds;
            return Page(http, BaseOf(http, own), $"{refusal.Title} · {options.Title}", Markup.Of($"<h1>{refusal.Title}</h1><p class=\"note\" role=\"alert\">{Shown.Name(refusal.Detail, Shown.LongestMessage)}</p>"), status: refusal.Status);
        }
    }

    private bool MayAct(HttpContext http) => !options.IsReadOnly(http);

    private IResult Page(HttpContext http, string at, string title, Markup content, string? search = null, int status = StatusCodes.Status200OK)
    {
        http.Response.Headers.CacheControl = "no-store";
        return Results.Content(new Layout(at, options.Title, title, search ?? "").Render(content).ToString(), "text/html; charset=utf-8", statusCode: status);
    }

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
