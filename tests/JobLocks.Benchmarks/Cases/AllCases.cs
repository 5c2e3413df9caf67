using JobLocks.Benchmarks.Waiting;

namespace JobLocks.Benchmarks.Cases;

/// <summary>The cases in the order in which they run.</summary>
internal static class AllCases
{
    // The floor: no lock, no line, and one run at a time.
    private const string EachStartsTheNext = "no lock, each starts the next";

    public static IReadOnlyList<ICase> Create()
    {
        var rounds = new PairRounds();
        return
        [
            new PairsCase(rounds),
            new LatencyCase(rounds),
            new RefusedCase(),
            new ConnectionsCase(),
            new OpenCase(),
            new HandoverCase(),
            new HangfireCase(),
            new QuartzCase(),
            new HeldCase(),
            new WaitingCase(
                "hangfire",
                WaitingWay.HangfireLine,
                [("[DisableConcurrentExecution]", WaitingWay.HangfireOwn), ("Reschedule", WaitingWay.HangfireReschedule), (EachStartsTheNext, WaitingWay.HangfireChain)],
                mostMedian: 15),
            new WaitingCase("quartz", WaitingWay.QuartzLine, [("[DisallowConcurrentExecution]", WaitingWay.QuartzOwn), (EachStartsTheNext, WaitingWay.QuartzChain)], mostMedian: 15),
            new WaitingCase("both", WaitingWay.BothLine, [], mostMedian: 25),
            new WakeCase("hangfire", WaitingWay.HangfireLine),
            new WakeCase("quartz", WaitingWay.QuartzLine),
            new WaitingNamesCase(),
            new WaitingBesideCase(),
            new WaitCostCase(),
            new KillCase(),
            new LongQueueCase(),
            new ManyNamesCase(),
            new WorkersCase(),
            new InspectCase(),
            new ViewersCase(),
            new RecordedHoldersCase(),
            new PresenceCase(),
        ];
    }
}
