using System.Collections;
using System.Reflection;
using Hangfire;

namespace JobLocks.Hangfire;

/// <summary>
/// The Hangfire servers that run in this process, of all storages. Hangfire lists them for the cancellation tokens of their runs: a server adds itself when
/// it has announced itself to its storage, and removes itself when it ends or is restarted under a new id. Thread-safe.
/// </summary>
/// <remarks>
/// The list is internal to Hangfire, and nothing public says the same: the id of a server is made up when it starts, and only its own runs and background
/// processes learn it. What the storage says of a server (a machine, a process number, a time) is the same in two containers, or depends on a clock.
/// </remarks>
internal static class LocalServerList
{
    private static readonly IDictionary? Servers = Find();

    /// <summary>False with a version of Hangfire that has no such list.</summary>
    public static bool IsKnown => Servers is not null;

    /// <summary>How many there are.</summary>
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
            // Without the list, a server is known by its runs.
            return null;
        }
    }
}
