using Microsoft.AspNetCore.Http;

namespace JobLocks.AspNetCore;

/// <summary>
/// Whether a request that changes something comes from a page of this application, by the headers of the browser. Checked in addition to the antiforgery token:
/// no page can forge these two headers.
/// </summary>
internal static class SameOrigin
{
    public static bool Allows(HttpRequest request) => (request.Headers["Sec-Fetch-Site"], request.Headers.Origin) switch
    {
        ({ Count: > 0 } site, _) => site is ["same-origin"],
        // Browsers send Sec-Fetch-Site only over HTTPS and to this machine. Without it, the Origin header is compared.
        (_, { Count: > 0 } origin) => origin is [{ } value] && IsOwn(value, request.Host),
        // A request without both headers does not come from a browser. It still needs the token.
        _ => true,
    };

    /// <summary>Compares host and port. The scheme is ignored, because it differs behind a proxy that terminates TLS.</summary>
    private static bool IsOwn(string origin, HostString host)
    {
        if (!Uri.TryCreate(origin, UriKind.Absolute, out var uri) || uri.Scheme is not ("http" or "https") || !host.HasValue) return false;

        return string.Equals(uri.IdnHost.Trim('[', ']'), host.Host.Trim('[', ']'), StringComparison.OrdinalIgnoreCase) && (host.Port ?? DefaultPort(uri)) == uri.Port;
    }

    private static int DefaultPort(Uri uri) => string.Equals(uri.Scheme, "https", StringComparison.Ordinal) ? 443 : 80;
}
