namespace JobLocks.Benchmarks.Measuring;

/// <summary>Gives each contender its turn, round after round, so that whatever else the machine does meets all of them alike.</summary>
internal static class Rounds
{
    /// <returns>For each contender, the results of its turns.</returns>
    public static async Task<IReadOnlyList<IReadOnlyList<T>>> InTurnAsync<T>(int rounds, IReadOnlyList<Func<Task<T>>> contenders, CancellationToken stop)
    {
        var results = contenders.Select(static _ => new List<T>()).ToList();
        for (var round = 0; round < rounds; round++)
        {
            for (var contender = 0; contender < contenders.Count; contender++)
            {
                stop.ThrowIfCancellationRequested();
                // Nobody pays for the garbage of the one before.
                GC.Collect();
                GC.WaitForPendingFinalizers();
                results[contender].Add(await contenders[contender]());
            }
        }

        return results;
    }
}
