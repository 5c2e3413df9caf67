using System.Globalization;
using System.Text.RegularExpressions;
using JobLocks.Primitives;

namespace JobLocks;

/// <summary>The holder of a lock, as far as it is known. Its text completes a sentence that begins with "held by". Immutable.</summary>
public sealed partial record LockHolder
{
    /// <summary>The run: <c>Hangfire job 1187</c>. Null where it is unknown: a lock that is held only for a moment is not recorded.</summary>
    public string? Run { get; init; }

    /// <summary>
    /// The id of the job store that keeps the run, as in <see cref="QueuedRun.Store"/>. Two stores may have runs of the same name.
    /// Null where it is unknown, and where no store keeps the run.
    /// </summary>
    public string? Store { get; init; }

    /// <summary>The application, without host and process id; for a foreign holder, the <c>application_name</c> of its session.</summary>
    public string? Application { get; init; }

    /// <summary>The host of the process; null where the application name does not contain it.</summary>
    public string? Host { get; init; }

    /// <summary>The id of the process on its host; null where the application name does not contain it.</summary>
    public int? ProcessId { get; init; }

    /// <summary>The process id of the backend of its session: <c>pid</c> in <c>pg_stat_activity</c>.</summary>
    public required int Backend { get; init; }

    /// <summary>The client address of the session; null where it is local, or where this role may not see it.</summary>
    public string? Address { get; init; }

    /// <summary>When the lock was granted; null where it is unknown.</summary>
    public DateTimeOffset? Since { get; init; }

    /// <summary>When the run began to wait for the lock; null where it did not wait, and where it is unknown.</summary>
    internal DateTimeOffset? WaitingSince { get; init; }

    /// <summary>When the session began. The lock is not older than this. Null where this role may not see it.</summary>
    public DateTimeOffset? ConnectedSince { get; init; }

    /// <summary>Whether the holder is not JobLocks but another program that acquires the same key, such as a script.</summary>
    public required bool IsForeign { get; init; }

    /// <summary>The holder as text that follows "held by".</summary>
    public override string ToString()
    {
        var run = Run is null ? "" : $"{DisplayText.Name(Run, DisplayText.LongestRun)} of ";
        var application = string.IsNullOrEmpty(Application) ? "an application without a name" : DisplayText.Name(Application);
        var location = (Host, ProcessId) switch
        {
            ({ } host, { } process) => $" on {DisplayText.Name(host)} (pid {process.ToString(CultureInfo.InvariantCulture)})",
            _ => $" (backend {Backend.ToString(CultureInfo.InvariantCulture)}{(Address is null ? "" : $" from {Address}")})",
        };
        return run + application + location;
    }

    /// <summary>Splits the default name of a process that uses JobLocks into application, host and process id: <c>billing@web-3:812</c>.</summary>
    internal LockHolder Named(string? name)
    {
        if (name is null || DefaultName().Match(name) is not { Success: true } parts) return this with { Application = name };

        return this with
        {
            Application = parts.Groups["application"].Value,
            Host = parts.Groups["host"].Value,
            ProcessId = int.Parse(parts.Groups["process"].Value, CultureInfo.InvariantCulture),
        };
    }

    [GeneratedRegex("^(?<application>.+)@(?<host>[^@:]+):(?<process>[0-9]{1,9})$", RegexOptions.CultureInvariant | RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex DefaultName();
}
