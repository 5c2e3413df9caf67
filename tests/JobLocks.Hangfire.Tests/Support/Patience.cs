namespace JobLocks.Hangfire.Tests.Support;

/// <summary>How long a test waits for what must come: so long that only a bug can reach it.</summary>
internal static class Patience
{
    public static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);

    /// <summary>After an outage, Hangfire's own loops pause for longer and longer: 1, 4, 9, 16, 25 seconds after as many errors.</summary>
    public static readonly TimeSpan AfterOutage = TimeSpan.FromSeconds(100);

    private static readonly TimeSpan LookAgainAfter = TimeSpan.FromMilliseconds(20);

    /// <summary>Asks until the answer is the wanted one; gives the last answer, so that the test can say what it was instead.</summary>
    public static async Task<T> UntilAsync<T>(Func<Task<T>> ask, Func<T, bool> isWanted, CancellationToken stop, TimeSpan? atMost = null)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(stop);
        limit.CancelAfter(atMost ?? Limit);
        while (true)
        {
            var answer = await ask();
            if (isWanted(answer) || limit.IsCancellationRequested) return answer;

            await Task.Delay(LookAgainAfter, CancellationToken.None);
        }
    }
}
