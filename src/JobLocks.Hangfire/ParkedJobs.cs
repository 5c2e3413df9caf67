using System.Globalization;
using Hangfire.Common;
using Hangfire.States;
using Hangfire.Storage;
using JobLocks.Gate;
using JobLocks.Primitives;
using JobLocks.WaitQueue;

namespace JobLocks.Hangfire;

/// <summary>
/// Finds the jobs of a storage that wait for a lock, in Hangfire's schedule. Most of them are due within an hour, and each pass reads all entries of that hour.
/// Jobs that may wait longer are due later. Of the later entries each pass reads one page, since most of them may be jobs that are scheduled for another reason.
/// Not thread-safe.
/// </summary>
internal sealed class ParkedJobs
{
    private const int MostInPage = 100;
    private const int MostRemembered = 100_000;

    // How far ahead each pass reads all entries: the time after which a waiting run starts without a wake-up, and one minute.
    private static readonly TimeSpan Near = Queueing.LastResort + TimeSpan.FromMinutes(1);

    // How long a job stays in _others. A job that was enqueued by hand before its due time, and now waits for a lock, is not found before that.
    private static readonly TimeSpan RemembersFor = TimeSpan.FromMinutes(10);

    // Jobs that are scheduled for another reason, and when they are due, in seconds. After that time a job may wait for a lock under the same entry.
    private readonly Dictionary<string, long> _others = new(StringComparer.Ordinal);
    private TimeSpan _clearedAt;
    private long _farFrom;

    /// <summary>Reads the next page.</summary>
    /// <param name="connection">A connection of the storage.</param>
    /// <param name="addressOf">Returns the address of a run from the id of its job, the creation time and the queue.</param>
    /// <param name="from">The due time of the first entry, in seconds since 1970; null for the first page.</param>
    public ParkedRuns Page(JobStorageConnection connection, Func<string, DateTime, string, RunAddress> addressOf, string? from)
    {
        ClearOldOthers();
        var now = DateTime.UtcNow;
        var near = JobHelper.ToTimestamp(now + Near);
        var first = from is null ? 0 : long.Parse(from, CultureInfo.InvariantCulture);
        var (runs, next) = Read(connection, addressOf, first, near, JobHelper.ToTimestamp(now));
        if (next is not null) return new(runs, next.Value.ToString(CultureInfo.InvariantCulture));

        var (far, nextFar) = Read(connection, addressOf, Math.Max(_farFrom, near + 1), JobHelper.ToTimestamp(DateTime.MaxValue), JobHelper.ToTimestamp(now));
        _farFrom = nextFar ?? 0;
        return new([.. runs, .. far], Next: null);
    }

    private (List<(RunAddress, TimeSpan)> Runs, long? Next) Read(JobStorageConnection connection, Func<string, DateTime, string, RunAddress> addressOf, long first, long last, long now)
    {
        var entries = connection.GetFirstByLowestScoreFromSet(HangfireRuns.ScheduledSet, first, last, MostInPage);
        var runs = new List<(RunAddress, TimeSpan)>();
        foreach (var entry in entries.Where(entry => !_others.TryGetValue(entry, out var due) || due <= now))
        {
            var id = IdIn(entry);
            var state = connection.GetStateData(id);
            if (state is not { Reason: { } reason } || !reason.StartsWith(JobGate.WaitReason, StringComparison.Ordinal))
                _others[entry] = DueOf(state) ?? long.MaxValue;
            else if (connection.GetJobData(id) is { } job)
                runs.Add((addressOf(id, job.CreatedAt, OriginalQueue.Of(connection, id, job)), TimeSpan.Zero));
        }

        // If more entries are due in one second than a page has, the rest of them is read when these entries are gone.
        return (runs, entries.Count < MostInPage ? null : Math.Max(DueOf(connection.GetStateData(IdIn(entries[^1]))) ?? 0, first + 1));
    }

    /// <summary>The id in an entry of the schedule. A job with its own queue is stored as "queue:id".</summary>
    private static string IdIn(string entry) => entry[(entry.LastIndexOf(':') + 1)..];

    private static long? DueOf(StateData? state) =>
        state?.Data.TryGetValue(nameof(ScheduledState.EnqueueAt), out var at) == true ? JobHelper.ToTimestamp(JobHelper.DeserializeDateTime(at)) : null;

    private void ClearOldOthers()
    {
        if (_others.Count < MostRemembered && BootClock.Now - _clearedAt < RemembersFor) return;

        _others.Clear();
        _clearedAt = BootClock.Now;
    }
}
