namespace JobLocks.Hangfire.Tests.Support;

/// <summary>How long a test waits for what must come: so long that only a bug can reach it.</summary>
internal static class Patience
{
    public static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);

    private static readonly TimeSpan LookAgainAfter = TimeSpan.FromMilliseconds(20);

    /// <summary>Asks until the answer is the wanted one; gives the last answer, so that the test can say what it was instead.</summary>
    public static async Task<T> UntilAsync<T>(Func<Task<T>> ask, Func<T, bool> isWanted, CancellationToken stop)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(stop);
        limit.CancelAfter(Limit);
        while (true)
        {
            var answer = await ask();
            if (isWanted(answer) || limit.IsCancellationRequested) return answer;

            await Task.Delay(LookAgainAfter, CancellationToken.None);
        }
    }
}
