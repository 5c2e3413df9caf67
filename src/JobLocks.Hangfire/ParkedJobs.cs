using System.Globalization;
using Hangfire.Common;
using Hangfire.States;
using Hangfire.Storage;
using JobLocks.Gate;
using JobLocks.Primitives;
using JobLocks.WaitQueue;

namespace JobLocks.Hangfire;

/// <summary>
/// Finds the jobs of a storage that wait for a lock, in Hangfire's own schedule. Most of them are due within an hour, and each pass reads all of that. Jobs that
/// may wait for longer are due later: of that part, a pass reads one page, since it may hold very many jobs that are scheduled for something else.
/// Used by one thread at a time.
/// </summary>
internal sealed class ParkedJobs
{
    private const int MostInPage = 100;
    private const int MostRemembered = 100_000;

    // The last resort of a run that waits, and a little more.
    private static readonly TimeSpan Near = Queueing.LastResort + TimeSpan.FromMinutes(1);

    // Until this is forgotten, a job that was enqueued by hand before its time, and waits for a lock by now, is not seen.
    private static readonly TimeSpan RemembersFor = TimeSpan.FromMinutes(10);

    // The jobs that are scheduled for something else, and when they are due, in seconds. After that a job may wait for a lock, under the same entry.
    private readonly Dictionary<string, long> _others = new(StringComparer.Ordinal);
    private TimeSpan _forgottenAt;
    private long _farFrom;

    /// <summary>The next page: from the second <paramref name="from"/> on, by the time at which jobs are due.</summary>
    public ParkedRuns Page(JobStorageConnection connection, Func<string, DateTime, string, RunAddress> addressOf, string? from)
    {
        ForgetOthers();
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

        // Where more are due in one second than a page has, the rest of them is seen when these are gone.
        return (runs, entries.Count < MostInPage ? null : Math.Max(DueOf(connection.GetStateData(IdIn(entries[^1]))) ?? 0, first + 1));
    }

    /// <summary>The queue stands before the number of a job that was scheduled for one.</summary>
    private static string IdIn(string entry) => entry[(entry.LastIndexOf(':') + 1)..];

    private static long? DueOf(StateData? state) =>
        state?.Data.TryGetValue(nameof(ScheduledState.EnqueueAt), out var at) == true ? JobHelper.ToTimestamp(JobHelper.DeserializeDateTime(at)) : null;

    private void ForgetOthers()
    {
        if (_others.Count < MostRemembered && BootClock.Now - _forgottenAt < RemembersFor) return;

        _others.Clear();
        _forgottenAt = BootClock.Now;
    }
}
