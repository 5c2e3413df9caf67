namespace JobLocks.WaitQueue;

/// <summary>Job stores in the memory of a process, such as Quartz's RAM store. Their runs end with the process.</summary>
internal static class VolatileStore
{
    /// <summary>The names of these stores begin with this.</summary>
    public const string Prefix = "memory: ";

    /// <summary>Whether a store of this name ends with its process.</summary>
    public static bool Is(string store) => store.StartsWith(Prefix, StringComparison.Ordinal);
}
