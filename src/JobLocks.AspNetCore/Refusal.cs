using System.Globalization;
using Microsoft.AspNetCore.Http;

namespace JobLocks.AspNetCore;

/// <summary>The answer if the database server cannot be asked, or refuses an operation.</summary>
/// <param name="Status">The HTTP status.</param>
/// <param name="Title">The title of the error.</param>
/// <param name="Detail">The cause, and how to fix it.</param>
internal sealed record Refusal(int Status, string Title, string Detail)
{
    private const int RetryAfterSeconds = 5;

    /// <summary>The refusal for an exception; null for an exception that JobLocks does not handle.</summary>
    public static Refusal? Of(Exception thrown) => thrown switch
    {
        UnauthorizedAccessException denied => new(StatusCodes.Status403Forbidden, "The database role of this application may not do that", denied.Message),
        JobLocksUnavailableException { LookTrouble: { } title } busy => new(StatusCodes.Status503ServiceUnavailable, title, $"{busy.Message} The page is loaded again by itself."),
        JobLocksUnavailableException { NeedsChange: true } unfit => new(StatusCodes.Status503ServiceUnavailable, "PostgreSQL cannot be asked for its locks", unfit.Message),
        JobLocksUnavailableException unavailable => new(
            StatusCodes.Status503ServiceUnavailable,
            "PostgreSQL cannot be asked for its locks",
            $"{unavailable.Message} Check that the server runs and that this application reaches it."),
        _ => null,
    };

    /// <summary>Sets the Retry-After header, if a later request may succeed.</summary>
    public void SetRetryAfter(HttpResponse response)
    {
        if (Status == StatusCodes.Status503ServiceUnavailable) response.Headers.RetryAfter = RetryAfterSeconds.ToString(CultureInfo.InvariantCulture);
    }
}
