using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace JobLocks.AspNetCore;

/// <summary>The headers of every answer, and the answer to a request that failed.</summary>
internal static class Answering
{
    /// <summary>The content security policy: no external resources, no inline code, no frame of another site.</summary>
    private const string Policy =
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'self'; base-uri 'none'";

    /// <summary>
    /// Surrounds all endpoints of a group. This is not an endpoint filter: if the framework cannot bind a parameter, it answers before filters run, in the
    /// Development environment with the exception page.
    /// </summary>
    public static void Surround(RouteGroupBuilder group, LocalOnly localOnly) => ((IEndpointConventionBuilder)group).Add(endpoint =>
    {
        if (endpoint.RequestDelegate is { } inner) endpoint.RequestDelegate = http => AnswerAsync(http, inner, localOnly);
    });

    private static async Task AnswerAsync(HttpContext http, RequestDelegate inner, LocalOnly localOnly)
    {
        SetHeaders(http.Response.Headers);
        var answer = localOnly.Refuse(http) ?? await RunAsync(http, inner).ConfigureAwait(false);
        if (answer is not null) await answer.ExecuteAsync(http).ConfigureAwait(false);
    }

    private static void SetHeaders(IHeaderDictionary headers)
    {
        headers.ContentSecurityPolicy = Policy;
        headers.XContentTypeOptions = "nosniff";
        headers["Referrer-Policy"] = "same-origin";
        headers["Cross-Origin-Resource-Policy"] = "same-origin";
        // The answers contain current names and holders for one viewer. Static assets replace this header.
        headers.CacheControl = "no-store";
    }

    /// <returns>The answer to send; null if the endpoint has sent its answer.</returns>
    private static async Task<IResult?> RunAsync(HttpContext http, RequestDelegate inner)
    {
        try
        {
            await inner(http).ConfigureAwait(false);
            // Outside of the Development environment, the framework only sets the status if it cannot bind a parameter.
            return http.Response is { HasStarted: false, StatusCode: StatusCodes.Status400BadRequest, ContentType: null } ? Unreadable(http) : null;
        }
        catch (BadHttpRequestException) when (!http.Response.HasStarted)
        {
            return Unreadable(http);
        }
        catch (Exception thrown) when (!http.Response.HasStarted && Refusal.Of(thrown) is { } refusal)
        {
            refusal.SetRetryAfter(http.Response);
            return Results.Problem(title: refusal.Title, detail: refusal.Detail, statusCode: refusal.Status);
        }
    }

    private static IResult Unreadable(HttpContext http) =>
        Results.Problem(http.GetEndpoint()?.Metadata.GetMetadata<ParametersHint>()?.Sentence ?? "The request cannot be read.", statusCode: StatusCodes.Status400BadRequest);

    /// <summary>The answer for a path below the page that does not exist.</summary>
    public static IResult NotFound() => Results.Text("There is no such page here.", statusCode: StatusCodes.Status404NotFound);

    /// <summary>Answers all other methods of a path with 405 and the common headers. Routing would answer without these headers.</summary>
    public static void MapOthers(RouteGroupBuilder group, string path, string allowed) => group.Map(path, (HttpContext http) =>
    {
        http.Response.Headers.Allow = allowed;
        return Results.Text($"Only {allowed} is answered here.", statusCode: StatusCodes.Status405MethodNotAllowed);
    }).ExcludeFromDescription();
}
