using System.Net;
using JobLocks.Primitives;
using Microsoft.AspNetCore.Authorization;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace JobLocks.AspNetCore;

/// <summary>
/// Refuses requests to endpoints without an authorization policy, except for requests from the same machine in the Development environment.
/// In other environments a proxy on the same machine makes every request look local, and not every proxy adds a header. Thread-safe.
/// </summary>
internal sealed class LocalOnly(bool isDevelopment, ILogger log)
{
    private const string Remedy = "Declare who may see this page: app.MapJobLocks(...).RequireAuthorization(), or .AllowAnonymous().";

    private readonly LogThrottle _refused = new();

    /// <returns>The refusal of a request; null if the request may be answered.</returns>
    public IResult? Refuse(HttpContext http)
    {
        if (HasPolicy(http) || ReasonToRefuse(http) is not { } reason) return null;

        if (_refused.IsTime()) log.RefusedWithoutPolicy(http.Connection.RemoteIpAddress, reason);
        return Results.Text($"Refused: {reason}. {Remedy}", statusCode: StatusCodes.Status403Forbidden);
    }

    private static bool HasPolicy(HttpContext http) =>
        http.GetEndpoint()?.Metadata is { } metadata
        && (metadata.GetMetadata<IAuthorizeData>() is not null || metadata.GetMetadata<IAllowAnonymous>() is not null || metadata.GetMetadata<AuthorizationPolicy>() is not null);

    private string? ReasonToRefuse(HttpContext http) => true switch
    {
        _ when !isDevelopment => "the application says nothing about authorisation, and this is not its Development environment",
        // A request without a remote address was sent through a Unix domain socket, usually by a proxy.
        _ when http.Connection.RemoteIpAddress is not { } remote || !IsLoopback(remote) => "the application says nothing about authorisation, and the request comes from another machine",
        // DNS rebinding: another site can let its own name resolve to this machine. The browser then sends that name as the host.
        _ when !IsOfThisMachine(http.Request.Host) => "the application says nothing about authorisation, and the request is for a host other than localhost",
        _ when http.Request.Headers.Keys.Any(IsForwardingHeader) => "the application says nothing about authorisation, and the request came through a proxy or a tunnel",
        _ => null,
    };

    /// <summary>Whether the host is <c>localhost</c>, a subdomain of it, or a loopback address, with any port.</summary>
    private static bool IsOfThisMachine(HostString host)
    {
        var name = host.Host.EndsWith('.') ? host.Host[..^1] : host.Host;
        return name.Equals("localhost", StringComparison.OrdinalIgnoreCase)
            || name.EndsWith(".localhost", StringComparison.OrdinalIgnoreCase)
            || (IPAddress.TryParse(name, out var address) && IsLoopback(address));
    }

    private static bool IsLoopback(IPAddress address) => IPAddress.IsLoopback(address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address);

    /// <summary>
    /// Whether a header shows that a request was forwarded. No browser sends such a header. Development tunnels do, while the host is this machine.
    /// </summary>
    private static bool IsForwardingHeader(string header) =>
        header.Contains("Forward", StringComparison.OrdinalIgnoreCase)
        || header.EndsWith("-IP", StringComparison.OrdinalIgnoreCase)
        || header.Contains("-Original-", StringComparison.OrdinalIgnoreCase)
        || header.Equals("Via", StringComparison.OrdinalIgnoreCase);
}
