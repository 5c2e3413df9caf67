using System.Reflection;
using Hangfire;

namespace JobLocks.Hangfire;

/// <summary>
/// Idle workers of this process that work on a Hangfire.PostgreSql storage. They look into their queues when this process puts a job there, and at their next poll. Other storages
/// tell the workers of all processes themselves.
/// </summary>
internal static class IdleWorkers
{
    /// <summary>Has one of them look into these queues now. Does nothing with a version of the storage that has no such method.</summary>
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
