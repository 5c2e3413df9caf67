namespace JobLocks.Testing.Postgres;

/// <summary>What processes left behind that were killed before they could stop their servers.</summary>
internal static class Leftovers
{
    public static async Task ClearAsync(PostgresTools tools, CancellationToken stop)
    {
        foreach (var folder in ServerFolder.TakeOverAbandoned())
        {
            stop.ThrowIfCancellationRequested();
            try
            {
                await using var server = new LocalServer(folder, tools);
            }
            catch (Exception) when (!stop.IsCancellationRequested)
            {
                // Somebody else's trouble, such as a server under an account that we cannot speak for, must not keep ours from starting.
            }
        }
    }
}
