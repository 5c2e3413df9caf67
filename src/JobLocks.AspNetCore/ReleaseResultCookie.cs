using System.Globalization;
using System.Security.Cryptography;
using Microsoft.AspNetCore.DataProtection;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;

namespace JobLocks.AspNetCore;

/// <summary>
/// Passes the result of a release request to the page that is shown after it. The result is in a cookie that only this application can write, valid for one
/// display, one key, one viewer and one minute. A link that is sent to another user does not contain the result.
/// </summary>
internal static class ReleaseResultCookie
{
    private const string Cookie = "joblocks-told";

    private static readonly TimeSpan Lifetime = TimeSpan.FromMinutes(1);

    public static void Keep(HttpContext http, string path, LockKey key, ReleaseAnswer answer)
    {
        var text = string.Create(CultureInfo.InvariantCulture, $"{DateTimeOffset.UtcNow.UtcTicks} {key.Value} {answer} {http.User.Identity?.Name}");
        http.Response.Cookies.Append(Cookie, Protector(http)!.Protect(text), Options(http, path, Lifetime));
    }

    /// <summary>Reads and deletes the result. Null if there is no result for this key and viewer, or it was read before.</summary>
    public static ReleaseAnswer? Take(HttpContext http, string path, LockKey key)
    {
        // The script of another open page of this name refreshes that page and shows no result, so it must not consume the cookie.
        if (http.Request.Cookies[Cookie] is not { } sealedText || http.Request.Headers["Sec-Fetch-Dest"] is ["empty"]) return null;

        http.Response.Cookies.Delete(Cookie, Options(http, path, null));
        try
        {
            return Protector(http)?.Unprotect(sealedText).Split(' ', 4) is [var ticks, var keyText, var answer, var viewer]
                && long.TryParse(ticks, NumberStyles.None, CultureInfo.InvariantCulture, out var at)
                && DateTimeOffset.UtcNow.UtcTicks - at < Lifetime.Ticks
                && string.Equals(keyText, key.Value.ToString(CultureInfo.InvariantCulture), StringComparison.Ordinal)
                && string.Equals(viewer, http.User.Identity?.Name ?? "", StringComparison.Ordinal)
                && Enum.TryParse<ReleaseAnswer>(answer, out var known)
                    ? known
                    : null;
        }
        catch (CryptographicException)
        {
            // This application has not written the cookie.
            return null;
        }
    }

    /// <summary>Data protection is registered together with antiforgery, so it is present in every application in which a release can be requested.</summary>
    private static IDataProtector? Protector(HttpContext http) => http.RequestServices.GetService<IDataProtectionProvider>()?.CreateProtector("JobLocks.AspNetCore.ToldResult.v1");

    private static CookieOptions Options(HttpContext http, string path, TimeSpan? lifetime) =>
        new() { Path = path, HttpOnly = true, SameSite = SameSiteMode.Strict, Secure = http.Request.IsHttps, IsEssential = true, MaxAge = lifetime };
}
