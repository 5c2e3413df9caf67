using System.Globalization;
using JobLocks.Primitives;

namespace JobLocks.Locks;

/// <summary>The holder of a lock, as far as it is known. Its text completes a sentence that begins with "held by".</summary>
internal sealed record Holder
{
    /// <summary>The run, where this process holds the lock: <c>Hangfire job 1187</c>.</summary>
    public string? Run { get; init; }

    /// <summary>The id of the job store that keeps the run; null where it is unknown.</summary>
    public string? Store { get; init; }

    /// <summary>The <c>application_name</c> of the session.</summary>
    public string? Application { get; init; }

    /// <summary>The process id of the PostgreSQL backend; null where this process holds the lock.</summary>
    public int? Backend { get; init; }

    /// <summary>The network address of the holder; null where it is local.</summary>
    public string? Address { get; init; }

    /// <summary>When the lock was granted, where this process holds it.</summary>
    public DateTimeOffset? Since { get; init; }

    /// <summary>When the session of the holder began. The lock is not older than this.</summary>
    public DateTimeOffset? ConnectedSince { get; init; }

    public override string ToString()
    {
        var run = Run is null ? "" : $"{DisplayText.Name(Run, DisplayText.LongestRun)} on ";
        var application = string.IsNullOrEmpty(Application) ? "an application without a name" : DisplayText.Name(Application);
        var backend = Backend is null ? "" : $" (backend {Backend}{(Address is null ? "" : $" from {Address}")})";
        var since = Since is { } granted ? $" since {FormatInstant(granted)}" : ConnectedSince is { } connected ? $", connected since {FormatInstant(connected)}" : "";
        return $"{run}{application}{backend}{since}";
    }

    private static string FormatInstant(DateTimeOffset instant) => instant.ToUniversalTime().ToString("yyyy-MM-dd HH:mm:ss'Z'", CultureInfo.InvariantCulture);
}
