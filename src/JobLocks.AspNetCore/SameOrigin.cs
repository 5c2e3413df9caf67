using Microsoft.AspNetCore.Http;

namespace JobLocks.AspNetCore;

/// <summary>
/// Whether a request that changes something comes from a page of this application, as far as the browser says it. Beside the anti-forgery token, and in
/// every mode: no page can forge these two headers.
/// </summary>
internal static class SameOrigin
{
    public static bool Allows(HttpRequest request) => (request.Headers["Sec-Fetch-Site"], request.Headers.Origin) switch
    {
        ({ Count: > 0 } site, _) => site is ["same-origin"],
        // Browsers say Sec-Fetch-Site over HTTPS and of this machine only.
        (_, { Count: > 0 } origin) => origin is [{ } one] && IsOwn(one, request.Host),
        // No browser. It must have the token all the same.
        _ => true,
    };

    /// <summary>By host and port, since behind a proxy that ends TLS the scheme is another one here.</summary>
    private static bool IsOwn(string origin, HostString host)
    {
        if (!Uri.TryCreate(origin, UriKind.Absolute, out var uri) || uri.Scheme is not ("http" or "https") || !host.HasValue) return false;

        return string.Equals(uri.IdnHost.Trim('[', ']'), host.Host.Trim('[', ']'), StringComparison.OrdinalIgnoreCase) && (host.Port ?? DefaultPort(uri)) == uri.Port;
    }

    private static int DefaultPort(Uri uri) => string.Equals(uri.Scheme, "https", StringComparison.Ordinal) ? 443 : 80;
}
