using System.Globalization;

namespace JobLocks.Hangfire;

/// <summary>
/// Identifies a job in the wait queue by its id and its creation time. The id alone is not unique: a storage that was dropped, or emptied and its counters
/// reset, gives the same ids to other jobs.
/// </summary>
/// <param name="Id">Hangfire's id of the job.</param>
/// <param name="Created">When the job was created, with milliseconds, in UTC; null in entries without it.</param>
internal readonly record struct JobIdentity(string Id, string? Created)
{
    private const char Separator = '@';

    /// <summary>The identity of a stored job, with the creation time that the storage returns.</summary>
    public static JobIdentity Of(string id, DateTime createdAt) =>
        new(id, InUtc(createdAt).ToString("yyyy-MM-ddTHH:mm:ss.fffZ", CultureInfo.InvariantCulture));

    /// <summary>Parses the text of a run in the wait queue, as <see cref="ToString"/> writes it.</summary>
    public static JobIdentity Parse(string run) =>
        run.LastIndexOf(Separator) is var end and > 0 ? new(run[..end], run[(end + 1)..]) : new(run, Created: null);

    /// <summary>Whether the stored job with this id is the identified job, and not a later one with the same id.</summary>
    public bool Matches(DateTime createdAt) => Created is null || Of(Id, createdAt) == this;

    /// <summary>The text of the run in the wait queue.</summary>
    public override string ToString() => Created is null ? Id : $"{Id}{Separator}{Created}";

    // A column without a time zone stores UTC. The driver may return local time for a column with a time zone.
    private static DateTime InUtc(DateTime time) => time.Kind == DateTimeKind.Local ? time.ToUniversalTime() : time;
}
