using System.Globalization;
using Hangfire;
using Hangfire.Storage.Monitoring;
using JobLocks.Postgres;

namespace JobLocks.Hangfire;

/// <summary>
/// Whether a server of this process works on a storage: a process with only clients or a dashboard starts no runs. The storage leads, since Hangfire says
/// nowhere in the process which servers it has. Used by one thread at a time.
/// </summary>
internal sealed class ServersHere(JobStorage storage)
{
    // A server announces itself a moment after its start, and is asked after with each sweep. It strikes itself out when it stops.
    private static readonly TimeSpan BetweenLooks = TimeSpan.FromSeconds(5);

    // A server that was killed stays in the storage, and another process may get its number. Hangfire's own default is one in 30 seconds.
    private static readonly TimeSpan LongestSilence = TimeSpan.FromMinutes(2);

    private static readonly string ProcessId = Environment.ProcessId.ToString(CultureInfo.InvariantCulture);

    // In the order in which Hangfire looks for it.
    private static readonly string Machine =
        Environment.GetEnvironmentVariable("COMPUTERNAME") ?? Environment.GetEnvironmentVariable("HOSTNAME") ?? Environment.MachineName;

    private bool _any;
    private TimeSpan _lookedAt;

    /// <summary>Whether there is one. Asks the storage at most once in five seconds while there is.</summary>
    public bool Any()
    {
        if (_any && BootClock.Now - _lookedAt < BetweenLooks) return true;

        try
        {
            _any = storage.GetMonitoringApi().Servers().Any(IsHere);
        }
        catch (Exception)
        {
            // A storage that is away for a moment has not lost its servers, and whoever asks it for a run says what is wrong.
        }

        _lookedAt = BootClock.Now;
        return _any;
    }

    /// <summary>
    /// Hangfire names a server by its machine, or by an option, and by process number and GUID. In containers the numbers are often the same, and a
    /// machine that we do not know may be this one by the name of an option: that is believed while it gives signs of life.
    /// </summary>
    private static bool IsHere(ServerDto server)
    {
        if (server.Name.Split(':') is not [.. var named, var process, _] || !string.Equals(process, ProcessId, StringComparison.Ordinal)) return false;

        return string.Equals(string.Join(':', named), Machine, StringComparison.OrdinalIgnoreCase)
            || DateTime.UtcNow - (server.Heartbeat ?? server.StartedAt) < LongestSilence;
    }
}
