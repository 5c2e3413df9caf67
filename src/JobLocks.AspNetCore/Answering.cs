using Microsoft.AspNetCore.Http;

namespace JobLocks.AspNetCore;

/// <summary>What every answer says, and what is answered where the server cannot be asked.</summary>
internal static class Answering
{
    /// <summary>Nothing from outside, nothing inline, in no foreign frame.</summary>
    private const string Policy =
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'self'; base-uri 'none'";

    public static async ValueTask<object?> TellAsync(EndpointFilterInvocationContext context, EndpointFilterDelegate next)
    {
        var headers = context.HttpContext.Response.Headers;
        headers.ContentSecurityPolicy = Policy;
        headers.XContentTypeOptions = "nosniff";
        headers["Referrer-Policy"] = "same-origin";
        try
        {
            return await next(context).ConfigureAwait(false);
        }
        catch (Exception thrown) when (Refusal.Of(thrown) is { } refusal)
        {
            return Results.Problem(title: refusal.Title, detail: refusal.Detail, statusCode: refusal.Status);
        }
    }
}
