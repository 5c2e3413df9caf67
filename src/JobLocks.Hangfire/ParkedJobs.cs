using System.Globalization;
using Hangfire.Common;
using Hangfire.States;
using Hangfire.Storage;
using JobLocks.Gate;
using JobLocks.Line;
using JobLocks.Postgres;

namespace JobLocks.Hangfire;

/// <summary>
/// Finds the jobs of a storage that wait for a lock, in Hangfire's own schedule: they are due within an hour. A job that is scheduled for something else is
/// asked after once. Used by one thread at a time.
/// </summary>
internal sealed class ParkedJobs
{
    private const int MostInPage = 100;
    private const int MostRemembered = 100_000;

    // The last resort of a run that waits, and a little more.
    private static readonly TimeSpan LatestDue = Queueing.LastResort + TimeSpan.FromMinutes(1);

    // Until this is forgotten, a job that was scheduled for something else and waits for a lock by now is not seen.
    private static readonly TimeSpan RemembersFor = TimeSpan.FromMinutes(10);

    private readonly HashSet<string> _others = new(StringComparer.Ordinal);
    private TimeSpan _forgottenAt;

    /// <summary>The next page: from the second <paramref name="from"/> on, by the time at which jobs are due.</summary>
    public ParkedRuns Page(JobStorageConnection connection, string store, string? from)
    {
        ForgetOthers();
        var first = from is null ? 0 : long.Parse(from, CultureInfo.InvariantCulture);
        var last = JobHelper.ToTimestamp(DateTime.UtcNow + LatestDue);
        var entries = connection.GetFirstByLowestScoreFromSet(HangfireRuns.ScheduledSet, first, last, MostInPage);
        var runs = new List<(RunAddress, TimeSpan)>();
        foreach (var entry in entries.Where(entry => !_others.Contains(entry)))
        {
            var id = IdIn(entry);
            if (connection.GetStateData(id) is { Reason: { } reason } && reason.StartsWith(JobGate.WaitReason, StringComparison.Ordinal))
                runs.Add((new(store, id, KeptQueue.Of(connection, id)), TimeSpan.Zero));
            else
                _others.Add(entry);
        }

        // Where more are due in one second than a page has, the rest of them is seen when these are gone.
        return new(runs, entries.Count < MostInPage ? null : Math.Max(DueOf(connection, entries[^1]) ?? 0, first + 1).ToString(CultureInfo.InvariantCulture));
    }

    /// <summary>The queue stands before the number of a job that was scheduled for one.</summary>
    private static string IdIn(string entry) => entry[(entry.LastIndexOf(':') + 1)..];

    private static long? DueOf(JobStorageConnection connection, string entry) =>
        connection.GetStateData(IdIn(entry))?.Data.TryGetValue(nameof(ScheduledState.EnqueueAt), out var at) == true ? JobHelper.ToTimestamp(JobHelper.DeserializeDateTime(at)) : null;

    private void ForgetOthers()
    {
        if (_others.Count < MostRemembered && BootClock.Now - _forgottenAt < RemembersFor) return;

        _others.Clear();
        _forgottenAt = BootClock.Now;
    }
}
