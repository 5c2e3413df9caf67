using System.Globalization;
using Microsoft.AspNetCore.Http;

namespace JobLocks.AspNetCore;

/// <summary>What is answered where the server cannot be asked, or does not do what it is asked for.</summary>
/// <param name="Status">As HTTP says it.</param>
/// <param name="Title">What it is.</param>
/// <param name="Detail">Why, and what to do about it.</param>
internal sealed record Refusal(int Status, string Title, string Detail)
{
    private const int RetryAfterSeconds = 5;

    /// <summary>Null for what is none of ours to explain.</summary>
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

    /// <summary>Says when to ask again, where that may help.</summary>
    public void TellWhen(HttpResponse response)
    {
        if (Status == StatusCodes.Status503ServiceUnavailable) response.Headers.RetryAfter = RetryAfterSeconds.ToString(CultureInfo.InvariantCulture);
    }
}
