namespace JobLocks.Quartz.Tests.Support;

/// <summary>A bound that only a mistake can reach, and a look at what announces nothing.</summary>
internal static class Eventually
{
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private static readonly TimeSpan Glance = TimeSpan.FromMilliseconds(20);

    public static Task<T> Soon<T>(this Task<T> task) => task.WaitAsync(Patience);

    public static Task Soon(this Task task) => task.WaitAsync(Patience);

    public static async Task<T> IsTrueOf<T>(Func<Task<T>> look, Func<T, bool> isSo, string what)
    {
        using var bound = new CancellationTokenSource(Patience);
        var seen = await look();
        while (!isSo(seen))
        {
            if (bound.IsCancellationRequested) Assert.Fail($"{what}: still {seen} after {Patience}.");
            await Task.Delay(Glance);
            seen = await look();
        }

        return seen;
    }

    public static Task IsTrue(Func<Task<bool>> look, string what) => IsTrueOf(look, static isSo => isSo, what);
}
