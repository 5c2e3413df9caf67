using System.Collections;
using System.Reflection;
using Hangfire;

namespace JobLocks.Hangfire;

/// <summary>
/// The Hangfire servers that run in this process, of all storages. Hangfire keeps this list for the cancellation tokens of runs. A server adds itself after
/// it has announced itself to its storage, and removes itself when it ends or restarts with a new id. Thread-safe.
/// </summary>
/// <remarks>
/// The list is internal to Hangfire, and no public member gives the same information. The id of a server is generated when it starts, and only its own runs and
/// background processes receive it. What the storage records of a server (machine, process number, time) can be equal in two containers, or depends on a clock.
/// </remarks>
internal static class LocalServerList
{
    private static readonly IDictionary? Servers = Find();

    /// <summary>False with a version of Hangfire that has no such list.</summary>
    public static bool IsKnown => Servers is not null;

    /// <summary>The number of servers.</summary>
    public static int Count => Servers?.Count ?? 0;

    /// <summary>Whether this server runs in this process.</summary>
    public static bool Contains(string serverId) => Servers?.Contains(serverId) == true;

    private static IDictionary? Find()
    {
        try
        {
            var tokens = typeof(JobStorage).Assembly.GetType("Hangfire.Server.ServerJobCancellationToken", throwOnError: false);
            return tokens?.GetField("WatchedServers", BindingFlags.Static | BindingFlags.NonPublic)?.GetValue(null) as IDictionary;
        }
        catch (Exception)
        {
            // Without the list, a server is known after its first run.
            return null;
        }
    }
}
