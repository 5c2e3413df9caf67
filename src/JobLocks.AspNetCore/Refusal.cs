using System.Globalization;
using JobLocks.Inspection.Pages;
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
        JobLocksUnavailableException unavailable => Of(ReadingFailure.Of(unavailable)),
        _ => null,
    };

    private static Refusal Of(ReadingFailure failure) => new(StatusCodes.Status503ServiceUnavailable, failure.Title, failure.Detail);

    /// <summary>Sets the Retry-After header, if a later request may succeed.</summary>
    public void SetRetryAfter(HttpResponse response)
    {
        if (Status == StatusCodes.Status503ServiceUnavailable) response.Headers.RetryAfter = RetryAfterSeconds.ToString(CultureInfo.InvariantCulture);
    }
}
