namespace JobLocks.WaitQueue;

/// <summary>Job stores in the memory of a process, such as Quartz's RAM store. Their runs end with the process.</summary>
internal static class VolatileStore
{
    /// <summary>The prefix of the ids of these stores.</summary>
    public const string Prefix = "memory: ";

    /// <summary>Whether the store with this id ends with its process.</summary>
    public static bool Is(string store) => store.StartsWith(Prefix, StringComparison.Ordinal);
}
