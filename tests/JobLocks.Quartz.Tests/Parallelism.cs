[assembly: Parallelizable(ParallelScope.Fixtures)]
[assembly: LevelOfParallelism(5)]
[assembly: FixtureLifeCycle(LifeCycle.SingleInstance)]
