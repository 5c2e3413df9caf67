using System.Net;

namespace JobLocks.AspNetCore.Tests;

/// <summary>Requests for pages that answer 503 while too many look.</summary>
internal static class PageRequests
{
    private const int MostTries = 30;

    private static readonly TimeSpan TryAgainAfter = TimeSpan.FromSeconds(1);

    /// <summary>Reads a page, and tries again after a 503, as the page tells a browser.</summary>
    public static async Task<HttpResponseMessage> GetPageAsync(this HttpClient client, string path)
    {
        for (var again = 0; ; again++)
        {
            var answer = await client.GetAsync(new Uri(path, UriKind.Relative));
            if (answer.StatusCode != HttpStatusCode.ServiceUnavailable || again == MostTries) return answer;

            await Task.Delay(TryAgainAfter);
        }
    }
}
