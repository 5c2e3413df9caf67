[assembly: Parallelizable(ParallelScope.Fixtures)]
// Fixtures mostly wait for Hangfire's polls, so more of them than processors may run.
[assembly: LevelOfParallelism(5)]

/// <content>Hangfire's workers block the threads they run jobs on. The continuations that the tests await must not queue up behind them.</content>
#pragma warning disable CA1050, MA0047 // See the other part.
public sealed partial class AssemblySetup
#pragma warning restore CA1050, MA0047
{
    static partial void Prepare() => ThreadPool.SetMinThreads(workerThreads: 64, completionPortThreads: 64);
}
