using System.Globalization;
using System.Text.RegularExpressions;
using JobLocks.Primitives;

namespace JobLocks;

/// <summary>Who has a lock, as far as it is known. Its text reads on after "held by".</summary>
public sealed partial record LockHolder
{
    /// <summary>The run: <c>Hangfire job 1187</c>. Null where it is not known: what is held for a moment only is not written down.</summary>
    public string? Run { get; init; }

    /// <summary>
    /// Which store of which scheduler keeps the run, as <see cref="QueuedRun.Store"/> names it: two of them may have a run of the same name.
    /// Null where it is not known, and where none does.
    /// </summary>
    public string? Store { get; init; }

    /// <summary>The application, without host and process; where the holder is none of ours, the <c>application_name</c> of its session.</summary>
    public string? Application { get; init; }

    /// <summary>The host of the process; null where the application does not say.</summary>
    public string? Host { get; init; }

    /// <summary>The number of the process on its host; null where the application does not say.</summary>
    public int? ProcessId { get; init; }

    /// <summary>The server's process behind its session: <c>pid</c> in <c>pg_stat_activity</c>.</summary>
    public required int Backend { get; init; }

    /// <summary>The address that the session comes from; null where it is local, or where this role may not see it.</summary>
    public string? Address { get; init; }

    /// <summary>When the lock was granted; null where it is not known.</summary>
    public DateTimeOffset? Since { get; init; }

    /// <summary>When the session began: the lock is not older than this. Null where this role may not see it.</summary>
    public DateTimeOffset? ConnectedSince { get; init; }

    /// <summary>Whether it is none of ours: a script, or a program in another language that takes the same key.</summary>
    public required bool IsForeign { get; init; }

    /// <summary>As a person reads it after "held by".</summary>
    public override string ToString()
    {
        var run = Run is null ? "" : $"{DisplayText.Name(Run, DisplayText.LongestRun)} of ";
        var application = string.IsNullOrEmpty(Application) ? "an application without a name" : DisplayText.Name(Application);
        var place = (Host, ProcessId) switch
        {
            ({ } host, { } process) => $" on {DisplayText.Name(host)} (pid {process.ToString(CultureInfo.InvariantCulture)})",
            _ => $" (backend {Backend.ToString(CultureInfo.InvariantCulture)}{(Address is null ? "" : $" from {Address}")})",
        };
        return run + application + place;
    }

    /// <summary>Reads the name that our own processes give themselves where nothing else was said: <c>billing@web-3:812</c>.</summary>
    internal LockHolder Named(string? name)
    {
        if (name is null || OwnName().Match(name) is not { Success: true } own) return this with { Application = name };

        return this with
        {
            Application = own.Groups["application"].Value,
            Host = own.Groups["host"].Value,
            ProcessId = int.Parse(own.Groups["process"].Value, CultureInfo.InvariantCulture),
        };
    }

    [GeneratedRegex("^(?<application>.+)@(?<host>[^@:]+):(?<process>[0-9]{1,9})$", RegexOptions.CultureInvariant | RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex OwnName();
}
