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

    /// <summary>Goes before everything that may refuse: a refusal carries the same headers.</summary>
    public static async ValueTask<object?> TellAsync(EndpointFilterInvocationContext context, EndpointFilterDelegate next)
    {
        var headers = context.HttpContext.Response.Headers;
        headers.ContentSecurityPolicy = Policy;
        headers.XContentTypeOptions = "nosniff";
        headers["Referrer-Policy"] = "same-origin";
        headers["Cross-Origin-Resource-Policy"] = "same-origin";
        // Names and holders of this moment, for this viewer. What never changes says otherwise.
        headers.CacheControl = "no-store";
        try
        {
            return await next(context).ConfigureAwait(false);
        }
        catch (Exception thrown) when (Refusal.Of(thrown) is { } refusal)
        {
            refusal.TellWhen(context.HttpContext.Response);
            return Results.Problem(title: refusal.Title, detail: refusal.Detail, statusCode: refusal.Status);
        }
    }

    /// <summary>A path below the page that is none of its own.</summary>
    public static IResult NotFound() => Results.Text("There is no such page here.", statusCode: StatusCodes.Status404NotFound);

    /// <summary>Answers the other methods of a path, with the headers of all answers: routing would refuse them by itself, without any.</summary>
    public static void MapOthers(RouteGroupBuilder group, string path, string allowed) => group.Map(path, (HttpContext http) =>
    {
        http.Response.Headers.Allow = allowed;
        return Results.Text($"Only {allowed} is answered here.", statusCode: StatusCodes.Status405MethodNotAllowed);
    }).ExcludeFromDescription();
}
