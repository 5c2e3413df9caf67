using JobLocks.Benchmarks.Results;

namespace JobLocks.Benchmarks.Cases;

/// <summary>One question, answered by a few rows.</summary>
internal interface ICase
{
    /// <summary>As it is given to <c>--only</c>.</summary>
    string Name { get; }

    /// <summary>Whether even a quick look takes long: it starts other processes, or fills tables.</summary>
    bool TakesLong => false;

    Task<IReadOnlyList<Row>> RunAsync(Bench bench, CancellationToken stop);
}
