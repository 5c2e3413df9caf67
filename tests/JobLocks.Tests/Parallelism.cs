[assembly: Parallelizable(ParallelScope.Fixtures)]
// Tests mostly wait: for heartbeats, time-outs and sweeps.
[assembly: LevelOfParallelism(5)]

/// <content>Some tests block the threads they run on. The thread pool adds threads slowly, and other tests would measure that.</content>
#pragma warning disable CA1050, MA0047 // See the other part.
public sealed partial class AssemblySetup
#pragma warning restore CA1050, MA0047
{
    static partial void Prepare() => ThreadPool.SetMinThreads(workerThreads: 64, completionPortThreads: 64);
}
