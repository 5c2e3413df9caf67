namespace JobLocks.Inspection;

/// <summary>The texts of dashboards about waiting runs whose job store no process serves.</summary>
internal static class UnservedNotice
{
    /// <summary>The text about one run.</summary>
    public const string OfRun = "No running process serves the job store of this run: its application has stopped. It lets all others past. Start the application to have it run. Only a run of a store in memory is gone with its process, and leaves the queue soon.";

    /// <summary>The text about several runs.</summary>
    public const string OfRuns =
        "Not served: no running process serves the job store of these runs, since their application has stopped. They let all others past. Start the application to have them run. Only runs of a store in memory are gone with their process, and leave the queue soon.";
}
