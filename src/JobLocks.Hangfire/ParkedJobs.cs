using System.Globalization;
using System.Runtime.InteropServices;
using Hangfire.Common;
using Hangfire.States;
using Hangfire.Storage;
using JobLocks.Gate;
using JobLocks.Primitives;
using JobLocks.WaitQueue;

namespace JobLocks.Hangfire;

/// <summary>
/// Finds the jobs of a storage that wait for a lock, in Hangfire's schedule. JobLocks parks no run for longer than an hour, and each pass reads all entries
/// of that hour. Of the later entries each pass reads only one page: nearly all of them are jobs that are scheduled for another reason. Not thread-safe.
/// </summary>
internal sealed class ParkedJobs
{
    private const int MostInPage = 100;
    private const int MostRemembered = 100_000;

    // How far ahead each pass reads all entries: the time after which a waiting run starts without a wake-up, and one minute.
    private static readonly TimeSpan NearWindow = Queueing.UnwokenStartDelay + TimeSpan.FromMinutes(1);

    // How long an entry stays in _otherEntries. A job that was enqueued by hand before its due time, and now waits for a lock, is not found before that.
    private static readonly TimeSpan RemembersFor = TimeSpan.FromMinutes(10);

    // Jobs that are scheduled for another reason, and when they are due, in seconds. A job runs at its due time. After that it may be parked under the same
    // entry, so the entry is read again.
    private readonly Dictionary<string, long> _otherEntries = new(StringComparer.Ordinal);
    private TimeSpan _clearedAt;
    private Cursor _nextLaterPage;

    /// <summary>Reads the next page.</summary>
    /// <param name="connection">A connection of the storage.</param>
    /// <param name="addressOf">Returns the address of a run from the id of its job, the creation time and the queue.</param>
    /// <param name="from">Where the page begins, from the previous page; null for the first page.</param>
    public ParkedRuns Page(JobStorageConnection connection, Func<string, DateTime, string, RunAddress> addressOf, string? from)
    {
        ClearOldOthers();
        var now = DateTime.UtcNow;
        var near = JobHelper.ToTimestamp(now + NearWindow);
        var first = from is null ? default : Cursor.Parse(from);
        var (runs, next) = Read(connection, addressOf, first, near, JobHelper.ToTimestamp(now));
        if (next is not null) return new(runs, next.ToString());

        var firstFar = _nextLaterPage.Due > near ? _nextLaterPage : new(near + 1, Skip: 0);
        var (far, nextFar) = Read(connection, addressOf, firstFar, JobHelper.ToTimestamp(DateTime.MaxValue), JobHelper.ToTimestamp(now));
        _nextLaterPage = nextFar ?? default;
        return new([.. runs, .. far], Next: null);
    }

    private (List<(RunAddress, TimeSpan)> Runs, Cursor? Next) Read(JobStorageConnection connection, Func<string, DateTime, string, RunAddress> addressOf, Cursor first, long last, long now)
    {
        var entries = connection.GetFirstByLowestScoreFromSet(HangfireRuns.ScheduledSet, first.Due, last, first.Skip + MostInPage);
        entries.RemoveRange(0, Math.Min(first.Skip, entries.Count));
        var runs = new List<(RunAddress, TimeSpan)>();
        foreach (var entry in entries.Where(entry => !_otherEntries.TryGetValue(entry, out var due) || due <= now))
        {
            var id = IdIn(entry);
            var state = connection.GetStateData(id);
            if (state is not { Reason: { } reason } || !reason.StartsWith(JobGate.WaitReason, StringComparison.Ordinal))
                _otherEntries[entry] = DueOf(state) ?? long.MaxValue;
            else if (connection.GetJobData(id) is { } job)
                runs.Add((addressOf(id, job.CreatedAt, OriginalQueue.Of(connection, id, job)), TimeSpan.Zero));
        }

        if (entries.Count < MostInPage) return (runs, null);

        // More entries can be due in one second than fit on a page. Then the next page skips the entries of that second that were read.
        var lastDue = DueOf(connection.GetStateData(IdIn(entries[^1]))) ?? first.Due;
        return (runs, lastDue > first.Due ? new Cursor(lastDue, Skip: 0) : first with { Skip = first.Skip + MostInPage });
    }

    /// <summary>The id in an entry of the schedule. A job with its own queue is stored as "queue:id".</summary>
    private static string IdIn(string entry) => entry[(entry.LastIndexOf(':') + 1)..];

    private static long? DueOf(StateData? state) =>
        state?.Data.TryGetValue(nameof(ScheduledState.EnqueueAt), out var at) == true ? JobHelper.ToTimestamp(JobHelper.DeserializeDateTime(at)) : null;

    private void ClearOldOthers()
    {
        if (_otherEntries.Count < MostRemembered && BootClock.Now - _clearedAt < RemembersFor) return;

        _otherEntries.Clear();
        _clearedAt = BootClock.Now;
    }

    /// <summary>Where a page begins.</summary>
    /// <param name="Due">The due time of its first entry, in seconds since 1970.</param>
    /// <param name="Skip">How many entries from that second on belong to the pages before.</param>
    [StructLayout(LayoutKind.Auto)]
    private readonly record struct Cursor(long Due, int Skip)
    {
        public static Cursor Parse(string text) =>
            text.Split('+') is [var due, var skip] ? new(long.Parse(due, CultureInfo.InvariantCulture), int.Parse(skip, CultureInfo.InvariantCulture)) : default;

        public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Due}+{Skip}");
    }
}
