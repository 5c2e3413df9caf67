using JobLocks.Primitives;

namespace JobLocks.Inspection.Pages;

/// <summary>The texts that all dashboards show outside of their tables.</summary>
internal static class PageTexts
{
    /// <summary>About one waiting run whose job store no process serves.</summary>
    public const string UnservedRun = "No running process serves the job store of this run: its application has stopped. Other runs bypass it. Start the application to have it run. Only a run of a store in memory is gone with its process, and leaves the queue soon.";

    /// <summary>About several waiting runs whose job stores no process serves.</summary>
    public const string UnservedRuns =
        "Not served: no running process serves the job store of these runs, since their application has stopped. Other runs bypass them. Start the application to have them run. Only runs of a store in memory are gone with their process, and leave the queue soon.";

    /// <summary>Above the other programs that hold internal locks.</summary>
    public const string InternalLocks = "A program that is not JobLocks holds locks that JobLocks needs for its own work.";

    /// <summary>On the button that requests the release of a lock.</summary>
    public const string RequestRelease = "Request release";

    /// <summary>A lock name; where it is unknown, its key.</summary>
    public static string NameOf(LockKey key, string? name) => name is null ? $"key {key}" : DisplayText.Name(name);
}
