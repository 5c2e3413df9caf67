using System.Reflection;
using Hangfire;

namespace JobLocks.Hangfire;

/// <summary>
/// Wakes idle workers of this process that work on a Hangfire.PostgreSql storage. Without a signal, such workers read their queues only when this process
/// enqueues a job, and at their next poll. Other storages notify the workers of all processes.
/// </summary>
/// <remarks>
/// The events of the workers are not public. With a version of Hangfire.PostgreSql that names them differently, workers read their queues at their next poll.
/// </remarks>
internal static class IdleWorkers
{
    private const BindingFlags Hidden = BindingFlags.Static | BindingFlags.NonPublic | BindingFlags.Public;

    /// <summary>Makes one idle worker read each of these queues now.</summary>
    public static void SignalQueues(JobStorage storage, IEnumerable<string> queues)
    {
        var events = StorageInPostgres.TypeOf(storage)?.Assembly.GetType("Hangfire.PostgreSql.PostgreSqlJobQueue")?.GetField("_queueEventRegistry", Hidden)?.GetValue(obj: null);
        var set = events?.GetType().GetMethod("Set", [typeof(string)]);
        foreach (var queue in queues.Distinct(StringComparer.Ordinal)) set?.Invoke(events, [queue]);
    }
}
