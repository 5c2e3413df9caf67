using System.Globalization;
using JobLocks.Primitives;

namespace JobLocks.Locks;

/// <summary>Who has a lock, as far as it is known. Its text reads on after "held by".</summary>
internal sealed record Holder
{
    /// <summary>The run, where the holder is one of this process: <c>Hangfire job 1187</c>.</summary>
    public string? Run { get; init; }

    /// <summary>Which store of which scheduler keeps the run, where that is known.</summary>
    public string? Store { get; init; }

    /// <summary>The <c>application_name</c> of the session.</summary>
    public string? Application { get; init; }

    /// <summary>The server process behind the session, where the holder is not this process.</summary>
    public int? Backend { get; init; }

    /// <summary>The holder's address; null where it is local.</summary>
    public string? Address { get; init; }

    /// <summary>When the lock was granted, where the holder is this process.</summary>
    public DateTimeOffset? Since { get; init; }

    /// <summary>When the holder's session began: the lock is not older than this.</summary>
    public DateTimeOffset? ConnectedSince { get; init; }

    public override string ToString()
    {
        var who = Run is null ? "" : $"{DisplayText.Name(Run, DisplayText.LongestRun)} on ";
        var application = string.IsNullOrEmpty(Application) ? "an application without a name" : DisplayText.Name(Application);
        var backend = Backend is null ? "" : $" (backend {Backend}{(Address is null ? "" : $" from {Address}")})";
        var since = Since is { } granted ? $" since {Instant(granted)}" : ConnectedSince is { } connected ? $", connected since {Instant(connected)}" : "";
        return $"{who}{application}{backend}{since}";
    }

    private static string Instant(DateTimeOffset instant) => instant.ToUniversalTime().ToString("yyyy-MM-dd HH:mm:ss'Z'", CultureInfo.InvariantCulture);
}
