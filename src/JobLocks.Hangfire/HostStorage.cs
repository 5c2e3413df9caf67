using Hangfire;

namespace JobLocks.Hangfire;

/// <summary>The storage in the container of a host, which can be asked for only when the configuration of Hangfire is through.</summary>
internal static class HostStorage
{
    /// <summary>Waits for it on a thread of its own, since the pool's may all be busy while a host starts.</summary>
    /// <param name="resolve">Asks the container; another thread waits there until the configuration is through.</param>
    /// <param name="found">Told of the storage; never called where there is none.</param>
    public static void Await(Func<JobStorage?> resolve, Action<JobStorage> found)
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
            // The configuration failed, or the container is disposed: its host says so itself, and has no storage to serve.
        }
    }
}
