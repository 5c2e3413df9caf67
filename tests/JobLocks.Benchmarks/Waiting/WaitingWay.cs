namespace JobLocks.Benchmarks.Waiting;

/// <summary>What becomes of a run that meets a held lock.</summary>
internal enum WaitingWay
{
    /// <summary>It waits in line: Hangfire's runs, Quartz's, or half of each under one name.</summary>
    HangfireLine,
    QuartzLine,
    BothLine,

    /// <summary>The same, but never in its worker: each run that waits is parked.</summary>
    HangfirePark,

    /// <summary>It is rescheduled for a second later.</summary>
    HangfireReschedule,

    /// <summary>No lock.</summary>
    HangfireBare,
    QuartzBare,

    /// <summary>Hangfire's own <c>[DisableConcurrentExecution]</c>: its worker waits.</summary>
    HangfireOwn,

    /// <summary>There is only ever one of each name, which starts the next as its last act: what the scheduler takes by itself.</summary>
    HangfireChain,
    QuartzChain,

    /// <summary>Quartz's own <c>[DisallowConcurrentExecution]</c>, on one job key.</summary>
    QuartzOwn,
}
