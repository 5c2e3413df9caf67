namespace JobLocks.Benchmarks.Schedulers;

/// <summary>What keeps two runs with the same data apart.</summary>
internal enum QuartzWay
{
    /// <summary>Nothing.</summary>
    Bare,

    JobLock,

    /// <summary>Quartz's own: a limit of one run for each execution group, counted over the cluster.</summary>
    ExecutionGroups,
}
