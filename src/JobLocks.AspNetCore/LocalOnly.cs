using System.Net;
using Microsoft.AspNetCore.Authorization;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace JobLocks.AspNetCore;

/// <summary>Where nothing was said about authorisation, only the same machine is answered: the page shows names that may be nobody else's business.</summary>
internal static class LocalOnly
{
    // A proxy on the same machine makes everybody look local.
    private static readonly string[] ProxyHeaders = ["Forwarded", "Via", "X-Real-IP"];
    private static readonly string[] ProxyPrefixes = ["X-Forwarded-", "X-Original-"];

    public static ValueTask<object?> CheckAsync(EndpointFilterInvocationContext context, EndpointFilterDelegate next)
    {
        var http = context.HttpContext;
        if (IsSaid(http) || IsLocal(http)) return next(context);

        http.RequestServices.GetRequiredService<ILoggerFactory>().CreateLogger("JobLocks.AspNetCore").RefusedRemote(http.Connection.RemoteIpAddress);
        return new(Results.Text(
            "This page answers requests of its own machine only. Say who may see it: app.MapJobLocks(...).RequireAuthorization(), or .AllowAnonymous().",
            statusCode: StatusCodes.Status403Forbidden));
    }

    private static bool IsSaid(HttpContext http) =>
        http.GetEndpoint()?.Metadata is { } said
        && (said.GetMetadata<IAuthorizeData>() is not null || said.GetMetadata<IAllowAnonymous>() is not null || said.GetMetadata<AuthorizationPolicy>() is not null);

    private static bool IsLocal(HttpContext http)
    {
        if (http.Request.Headers.Keys.Any(IsOfProxy)) return false;

        // Without an address it comes through a socket file, and a proxy is what uses those.
        return http.Connection.RemoteIpAddress is { } remote && (IPAddress.IsLoopback(remote) || remote.Equals(http.Connection.LocalIpAddress));
    }

    private static bool IsOfProxy(string header) =>
        ProxyHeaders.Contains(header, StringComparer.OrdinalIgnoreCase) || ProxyPrefixes.Any(prefix => header.StartsWith(prefix, StringComparison.OrdinalIgnoreCase));
}
