namespace JobLocks.Tests.Support;

/// <summary>The end of an outage, which the locks notice by themselves.</summary>
internal static class Outage
{
    private static readonly TimeSpan BetweenTries = TimeSpan.FromMilliseconds(50);

    /// <summary>Tries until the server can be asked again.</summary>
    public static async Task<JobLockHandle?> TryAcquireOnceBackAsync(this IJobLocks locks, string name, CancellationToken stop)
    {
        while (true)
        {
            try
            {
                return await locks.TryAcquireAsync(name, stop);
            }
            catch (JobLocksUnavailableException)
            {
                await Task.Delay(BetweenTries, stop);
            }
        }
    }
}
