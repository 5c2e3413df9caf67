using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace JobLocks.AspNetCore;

/// <summary>What every answer says, and what is answered where the server cannot be asked.</summary>
internal static class Answering
{
    /// <summary>Nothing from outside, nothing inline, in no foreign frame.</summary>
    private const string Policy =
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'self'; base-uri 'none'";

    /// <summary>
    /// Surrounds all endpoints of a group. Not as an endpoint filter: where the framework cannot read a parameter, it answers before filters run, in the Development
    /// environment with the page of an exception.
    /// </summary>
    public static void Surround(RouteGroupBuilder group, LocalOnly unsaid) => ((IEndpointConventionBuilder)group).Add(endpoint =>
    {
        if (endpoint.RequestDelegate is { } inner) endpoint.RequestDelegate = http => AnswerAsync(http, inner, unsaid);
    });

    private static async Task AnswerAsync(HttpContext http, RequestDelegate inner, LocalOnly unsaid)
    {
        SayHeaders(http.Response.Headers);
        var answer = unsaid.Refuse(http) ?? await RunAsync(http, inner).ConfigureAwait(false);
        if (answer is not null) await answer.ExecuteAsync(http).ConfigureAwait(false);
    }

    private static void SayHeaders(IHeaderDictionary headers)
    {
        headers.ContentSecurityPolicy = Policy;
        headers.XContentTypeOptions = "nosniff";
        headers["Referrer-Policy"] = "same-origin";
        headers["Cross-Origin-Resource-Policy"] = "same-origin";
        // Names and holders of this moment, for this viewer. What never changes says otherwise.
        headers.CacheControl = "no-store";
    }

    /// <returns>What is still to be answered; null where the endpoint has answered.</returns>
    private static async Task<IResult?> RunAsync(HttpContext http, RequestDelegate inner)
    {
        try
        {
            await inner(http).ConfigureAwait(false);
            // Outside of the Development environment, the framework sets the status and nothing else.
            return http.Response is { HasStarted: false, StatusCode: StatusCodes.Status400BadRequest, ContentType: null } ? Unreadable(http) : null;
        }
        catch (BadHttpRequestException) when (!http.Response.HasStarted)
        {
            return Unreadable(http);
        }
        catch (Exception thrown) when (!http.Response.HasStarted && Refusal.Of(thrown) is { } refusal)
        {
            refusal.TellWhen(http.Response);
            return Results.Problem(title: refusal.Title, detail: refusal.Detail, statusCode: refusal.Status);
        }
    }

    private static IResult Unreadable(HttpContext http) =>
        Results.Problem(http.GetEndpoint()?.Metadata.GetMetadata<ParametersHint>()?.Sentence ?? "The request cannot be read.", statusCode: StatusCodes.Status400BadRequest);

    /// <summary>A path below the page that is none of its own.</summary>
    public static IResult NotFound() => Results.Text("There is no such page here.", statusCode: StatusCodes.Status404NotFound);

    /// <summary>Answers the other methods of a path, with the headers of all answers: routing would refuse them by itself, without any.</summary>
    public static void MapOthers(RouteGroupBuilder group, string path, string allowed) => group.Map(path, (HttpContext http) =>
    {
        http.Response.Headers.Allow = allowed;
        return Results.Text($"Only {allowed} is answered here.", statusCode: StatusCodes.Status405MethodNotAllowed);
    }).ExcludeFromDescription();
}
