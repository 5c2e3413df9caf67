using System.Reflection;
using Hangfire;

namespace JobLocks.Hangfire;

/// <summary>
/// Idle workers of this process that work on a Hangfire.PostgreSql storage. They look into their queues when this process puts a job there, and at their next poll. Other storages
/// notify the workers of all processes themselves.
/// </summary>
/// <remarks>Hangfire.PostgreSql keeps the events of its workers for itself. With a version that has other names for them, workers look at their next poll.</remarks>
internal static class IdleWorkers
{
    private const BindingFlags Hidden = BindingFlags.Static | BindingFlags.NonPublic | BindingFlags.Public;

    /// <summary>Has one of them look into each of these queues now.</summary>
    public static void LookAt(JobStorage storage, IEnumerable<string> queues)
    {
        var events = StorageInPostgres.TypeOf(storage)?.Assembly.GetType("Hangfire.PostgreSql.PostgreSqlJobQueue")?.GetField("_queueEventRegistry", Hidden)?.GetValue(obj: null);
        var set = events?.GetType().GetMethod("Set", [typeof(string)]);
        foreach (var queue in queues.Distinct(StringComparer.Ordinal)) set?.Invoke(events, [queue]);
    }
}
