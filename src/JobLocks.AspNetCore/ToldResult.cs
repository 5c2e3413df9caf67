using System.Globalization;
using System.Security.Cryptography;
using Microsoft.AspNetCore.DataProtection;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;

namespace JobLocks.AspNetCore;

/// <summary>
/// Brings what came of an act to the page that is shown after it: in a cookie that only this application can write, for one showing, for one key, one
/// viewer and one minute. An address can be sent to others, and says nothing about it.
/// </summary>
internal static class ToldResult
{
    private const string Cookie = "joblocks-told";

    private static readonly TimeSpan Lasts = TimeSpan.FromMinutes(1);

    public static void Keep(HttpContext http, string path, LockKey key, ReleaseAnswer answer)
    {
        var text = string.Create(CultureInfo.InvariantCulture, $"{DateTimeOffset.UtcNow.UtcTicks} {key.Value} {answer} {http.User.Identity?.Name}");
        http.Response.Cookies.Append(Cookie, Protector(http)!.Protect(text), Options(http, path, Lasts));
    }

    /// <summary>Null where nothing was done a moment ago. A second time, too.</summary>
    public static ReleaseAnswer? Take(HttpContext http, string path, LockKey key)
    {
        // The script of another open page of this name looks again by itself, and shows no result.
        if (http.Request.Cookies[Cookie] is not { } sealedText || http.Request.Headers["Sec-Fetch-Dest"] is ["empty"]) return null;

        http.Response.Cookies.Delete(Cookie, Options(http, path, null));
        try
        {
            return Protector(http)?.Unprotect(sealedText).Split(' ', 4) is [var ticks, var of, var answer, var viewer]
                && long.TryParse(ticks, NumberStyles.None, CultureInfo.InvariantCulture, out var at)
                && DateTimeOffset.UtcNow.UtcTicks - at < Lasts.Ticks
                && string.Equals(of, key.Value.ToString(CultureInfo.InvariantCulture), StringComparison.Ordinal)
                && string.Equals(viewer, http.User.Identity?.Name ?? "", StringComparison.Ordinal)
                && Enum.TryParse<ReleaseAnswer>(answer, out var known)
                    ? known
                    : null;
        }
        catch (CryptographicException)
        {
            // Not written by this application.
            return null;
        }
    }

    /// <summary>There wherever the application has anti-forgery tokens, and so wherever there is an act.</summary>
    private static IDataProtector? Protector(HttpContext http) => http.RequestServices.GetService<IDataProtectionProvider>()?.CreateProtector("JobLocks.AspNetCore.ToldResult.v1");

    private static CookieOptions Options(HttpContext http, string path, TimeSpan? lasts) =>
        new() { Path = path, HttpOnly = true, SameSite = SameSiteMode.Strict, Secure = http.Request.IsHttps, IsEssential = true, MaxAge = lasts };
}
