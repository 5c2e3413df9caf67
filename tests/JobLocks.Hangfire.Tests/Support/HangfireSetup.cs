using Hangfire.Common;
using Microsoft.Extensions.Logging;

namespace JobLocks.Hangfire.Tests.Support;

/// <summary>What differs between the tests.</summary>
internal sealed record HangfireSetup
{
    public int Servers { get; init; } = 2;

    public int Workers { get; init; } = 3;

    /// <summary>How often a server looks into its queues by itself.</summary>
    public TimeSpan QueuePollInterval { get; init; } = TimeSpan.FromMilliseconds(100);

    /// <summary>False for a process in which <c>UseJobLocks</c> was forgotten.</summary>
    public bool UsesJobLocks { get; init; } = true;

    /// <summary>Where Hangfire's own tables are.</summary>
    public string Schema { get; init; } = "hangfire";

    /// <summary>Where the locks are, unless in Hangfire's own database.</summary>
    public string? LockDatabase { get; init; }

    /// <summary>After this long, a job that is not done is fetched again, even from a worker that lives.</summary>
    public TimeSpan? InvisibilityTimeout { get; init; }

    /// <summary>After this long, Hangfire takes back what a broken connection left in its own tables: fetched jobs, and its own locks on them.</summary>
    public TimeSpan? RecoversAfter { get; init; }

    /// <summary>How soon Hangfire cancels the token of a run whose job is in another state.</summary>
    public TimeSpan CancellationCheckInterval { get; init; } = TimeSpan.FromMilliseconds(200);

    /// <summary>What is told of the locks; null for nobody.</summary>
    public ILoggerFactory? Loggers { get; init; }

    /// <summary>What else the locks are told.</summary>
    public Action<JobLocksOptions>? Options { get; init; }

    /// <summary>Filters of these servers and clients only.</summary>
    public IJobFilterProvider? Filters { get; init; }

    /// <summary>Whether its servers and clients have the filters of attributes alone, and not those that are added to Hangfire's own providers.</summary>
    public bool HasOwnProviders { get; init; }
}
