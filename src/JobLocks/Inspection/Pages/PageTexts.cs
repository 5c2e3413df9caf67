using System.Globalization;
using JobLocks.Primitives;

namespace JobLocks.Inspection.Pages;

/// <summary>The texts that all dashboards show outside of their tables.</summary>
internal static class PageTexts
{
    /// <summary>About one waiting run whose job store no scheduler or Hangfire server serves.</summary>
    public const string UnservedRun =
        "No running scheduler or Hangfire server serves the job store of this run (stopped, or in standby). Start one: until then, other runs bypass the run. If the store was in memory, the run is gone and leaves the queue soon.";

    /// <summary>About a run that waits in its worker, or is on its way to one.</summary>
    public const string AboutToStart = "The run is in a worker, or on its way to one: it starts as soon as it is woken.";

    /// <summary>About several waiting runs whose job stores no scheduler or Hangfire server serves.</summary>
    public const string UnservedRuns =
        "Not served: no running scheduler or Hangfire server serves the job store of these runs (stopped, or in standby). Start one: until then, other runs bypass them. If a store was in memory, its runs are gone and leave the queue soon.";

    /// <summary>Above the other programs that hold internal locks.</summary>
    public const string InternalLocks = "A program that is not JobLocks holds locks that JobLocks needs for its own work.";

    /// <summary>On the button that requests the release of a lock.</summary>
    public const string RequestRelease = "Request release";

    /// <summary>For how long a lock was held in the last hour, and free while runs waited for it; null if no waiting run was woken and has started.</summary>
    public static string? FreeWhileWaiting(IReadOnlyList<LockMinute> hour)
    {
        var free = hour.Aggregate(TimeSpan.Zero, static (sum, minute) => sum + minute.FreeWhileWaiting);
        if (free == TimeSpan.Zero) return null;

        var held = hour.Aggregate(TimeSpan.Zero, static (sum, minute) => sum + minute.Held);
        return string.Create(
            CultureInfo.InvariantCulture, $"In the last hour: held for {DisplayText.Time(held)}, and free for {DisplayText.Time(free)} while runs waited ({free / (free + held):0 %}).");
    }

    /// <summary>A lock name; where it is unknown, its key.</summary>
    public static string NameOf(LockKey key, string? name) => name is null ? $"key {key}" : DisplayText.Name(name);
}
