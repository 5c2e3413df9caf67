using System.Globalization;

namespace JobLocks.Chaos;

/// <summary>
/// Where persisted job data lost an update. Each attempt that came to its end must have written once, and each write must add one to what
/// stood there: then a counter equals the number of those attempts.
/// </summary>
internal static class Counters
{
    public static IEnumerable<string> Check(Record record, Runs runs)
    {
        var faults = Fault.AllOf(record.Events).ToList();
        foreach (var counter in runs.Attempts.Where(static attempt => attempt.Offer.Counts).GroupBy(static attempt => attempt.Offer.Name, StringComparer.Ordinal))
        {
            var writes = record.Writes.Where(write => string.Equals(write.Counter, counter.Key, StringComparison.Ordinal)).ToList();
            var writer = counter.ToDictionary(static attempt => attempt.Id, StringComparer.Ordinal);
            var written = writes.Select(static write => write.Attempt).ToHashSet(StringComparer.Ordinal);
            // A killed process may take the write of its last runs with it.
            // A job that was cleared has no data.
            foreach (var attempt in counter.Where(attempt => attempt is { IsWhole: true, IsKilled: false } && !runs.IsMetByLoss(attempt) && !written.Contains(attempt.Id)))
                yield return Say($"lost update: run {attempt.Offer.Number} ended at {attempt.Left} and wrote nothing to {counter.Key}");

            // Without its lock, a run may read what is about to be replaced, and replace what others have read.
            var broken = writes.Where(write => writer.TryGetValue(write.Attempt, out var attempt) && (LostItsLock(attempt, write, faults) || runs.IsMetByLoss(attempt))).Select(static write => write.Stamp).ToHashSet();
            foreach (var write in writes.Where(static write => write.After != write.Before + 1))
            {
                if (writer.TryGetValue(write.Attempt, out var by) && broken.Any(stamp => stamp > by.Entered && stamp <= write.Stamp)) continue;

                yield return Say($"lost update: run {by?.Offer.Number} wrote {write.After} over {write.Before} to {counter.Key} at {write.Stamp}");
            }
        }
    }

    /// <summary>Whether a fault took the attempt's lock before its data was written.</summary>
    private static bool LostItsLock(Attempt attempt, Write write, List<Fault> faults) =>
        faults.Exists(fault => string.Equals(fault.Strike.Process, attempt.Process, StringComparison.Ordinal) && fault.Until > attempt.Entered && fault.Strike.Stamp < write.Stamp);

    private static string Say(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
