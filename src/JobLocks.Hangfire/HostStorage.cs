using Hangfire;

namespace JobLocks.Hangfire;

/// <summary>Finds the storage in the container of a host. It can be resolved only after the configuration of Hangfire is complete.</summary>
internal static class HostStorage
{
    /// <summary>Resolves the storage on its own thread: while a host starts, all threads of the pool may be busy.</summary>
    /// <param name="resolve">Resolves the storage. Blocks until the configuration is complete.</param>
    /// <param name="found">Receives the storage. Not called if there is none.</param>
    public static void ResolveInBackground(Func<JobStorage?> resolve, Action<JobStorage> found)
    {
        using var noFlow = ExecutionContext.IsFlowSuppressed() ? default : ExecutionContext.SuppressFlow();
        new Thread(() => Find(resolve, found)) { IsBackground = true, Name = "JobLocks storage" }.Start();
    }

    private static void Find(Func<JobStorage?> resolve, Action<JobStorage> found)
    {
        try
        {
            if (resolve() is { } storage) found(storage);
        }
        catch (Exception)
        {
            // The configuration failed, or the container is disposed. The host reports that itself, and there is no storage to serve.
        }
    }
}
