namespace JobLocks.Benchmarks.Cases;

/// <summary>The cases in the order in which they run.</summary>
internal static class AllCases
{
    public static IReadOnlyList<ICase> Create()
    {
        var rounds = new PairRounds();
        return
        [
            new PairsCase(rounds),
            new LatencyCase(rounds),
            new RefusedCase(),
            new ConnectionsCase(),
            new HandoverCase(),
            new HangfireCase(),
            new QuartzCase(),
            new HeldCase(),
        ];
    }
}
