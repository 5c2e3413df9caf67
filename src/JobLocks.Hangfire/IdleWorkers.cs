using System.Reflection;
using Hangfire;

namespace JobLocks.Hangfire;

/// <summary>
/// Wakes idle workers of this process that work on a Hangfire.PostgreSql storage. By themselves such workers look into their queues only when this process
/// enqueues a job, and at their next poll. Other storages notify the workers of all processes.
/// </summary>
internal static class IdleWorkers
{
    /// <summary>Makes one idle worker look into each of these queues now. Does nothing with a version of the storage that has no such method.</summary>
    public static void LookAt(JobStorage storage, IEnumerable<string> queues)
    {
        if (StorageInPostgres.TypeOf(storage)?.GetProperty("QueueProviders")?.GetValue(storage) is not { } providers) return;

        foreach (var queue in queues.Select(queue => QueueOf(providers, queue)).Distinct()) queue?.GetType().GetMethod("FetchNextJob", Type.EmptyTypes)?.Invoke(queue, parameters: null);
    }

    private static object? QueueOf(object providers, string queue) =>
        Call(Call(providers, "GetProvider", queue), "GetJobQueue");

    private static object? Call(object? target, string method, params object[] parameters) =>
        target?.GetType().GetMethod(method, BindingFlags.Instance | BindingFlags.Public, [.. parameters.Select(static parameter => parameter.GetType())])?.Invoke(target, parameters);
}
