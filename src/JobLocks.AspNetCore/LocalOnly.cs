using System.Net;
using JobLocks.Primitives;
using Microsoft.AspNetCore.Authorization;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace JobLocks.AspNetCore;

/// <summary>
/// What is answered where the application says nothing about authorisation: nothing, and in the Development environment requests of this machine.
/// Elsewhere a proxy on the same machine makes every request look local, and not all of them say in a header that they pass it on. Thread-safe.
/// </summary>
internal sealed class LocalOnly(bool isDevelopment, ILogger log)
{
    private const string Cure = "Say who may see this page: app.MapJobLocks(...).RequireAuthorization(), or .AllowAnonymous().";

    private readonly LogThrottle _refused = new();

    /// <returns>The refusal of a request; null where it may be answered.</returns>
    public IResult? Refuse(HttpContext http)
    {
        if (IsSaid(http) || WhyNot(http) is not { } reason) return null;

        if (_refused.IsTime()) log.RefusedUnsaid(http.Connection.RemoteIpAddress, reason);
        return Results.Text($"Refused: {reason}. {Cure}", statusCode: StatusCodes.Status403Forbidden);
    }

    private static bool IsSaid(HttpContext http) =>
        http.GetEndpoint()?.Metadata is { } said
        && (said.GetMetadata<IAuthorizeData>() is not null || said.GetMetadata<IAllowAnonymous>() is not null || said.GetMetadata<AuthorizationPolicy>() is not null);

    private string? WhyNot(HttpContext http) => true switch
    {
        _ when !isDevelopment => "the application says nothing about authorisation, and this is not its Development environment",
        // Without an address, it comes through a socket file, and a proxy is what uses those.
        _ when http.Connection.RemoteIpAddress is not { } remote || !IsLoopback(remote) => "the application says nothing about authorisation, and the request comes from another machine",
        // A page of any other site can have its own name lead to this machine: the browser then sends that name.
        _ when !IsOfThisMachine(http.Request.Host) => "the application says nothing about authorisation, and the request is for a host other than localhost",
        _ when http.Request.Headers.Keys.Any(SaysPassedOn) => "the application says nothing about authorisation, and the request came through a proxy or a tunnel",
        _ => null,
    };

    /// <summary><c>localhost</c>, a name below it, or an address of this machine alone, with any port.</summary>
    private static bool IsOfThisMachine(HostString host)
    {
        var name = host.Host.EndsWith('.') ? host.Host[..^1] : host.Host;
        return name.Equals("localhost", StringComparison.OrdinalIgnoreCase)
            || name.EndsWith(".localhost", StringComparison.OrdinalIgnoreCase)
            || (IPAddress.TryParse(name, out var address) && IsLoopback(address));
    }

    private static bool IsLoopback(IPAddress address) => IPAddress.IsLoopback(address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address);

    /// <summary>For whom a request was passed on, or what it was before: no browser says any of it. Tunnels of developers do, with a host of this machine.</summary>
    private static bool SaysPassedOn(string header) =>
        header.Contains("Forward", StringComparison.OrdinalIgnoreCase)
        || header.EndsWith("-IP", StringComparison.OrdinalIgnoreCase)
        || header.Contains("-Original-", StringComparison.OrdinalIgnoreCase)
        || header.Equals("Via", StringComparison.OrdinalIgnoreCase);
}
