using System.Globalization;

namespace JobLocks.Hangfire;

/// <summary>
/// A job in the wait queue: its id, and when it was created. The id alone is not enough: a storage that was dropped, or emptied with its counters, gives the same ids to other jobs.
/// </summary>
/// <param name="Id">Hangfire's id of the job.</param>
/// <param name="Created">When the job was created, in milliseconds; null in entries that do not say it.</param>
internal readonly record struct JobIdentity(string Id, string? Created)
{
    private const char Separator = '@';

    /// <summary>The one of a job that is in its storage, with the time that the storage gives.</summary>
    public static JobIdentity Of(string id, DateTime createdAt) =>
        new(id, InUtc(createdAt).ToString("yyyy-MM-ddTHH:mm:ss.fffZ", CultureInfo.InvariantCulture));

    /// <summary>Reads the name of a run in the wait queue.</summary>
    public static JobIdentity Parse(string run) =>
        run.LastIndexOf(Separator) is var end and > 0 ? new(run[..end], run[(end + 1)..]) : new(run, Created: null);

    /// <summary>Whether the job that has this id now is the one that is meant.</summary>
    public bool IsThatOf(DateTime createdAt) => Created is null || Of(Id, createdAt) == this;

    /// <summary>The name of the run in the wait queue.</summary>
    public override string ToString() => Created is null ? Id : $"{Id}{Separator}{Created}";

    // A column without a time zone has the time in UTC. The driver may give local time for one with a zone.
    private static DateTime InUtc(DateTime time) => time.Kind == DateTimeKind.Local ? time.ToUniversalTime() : time;
}
