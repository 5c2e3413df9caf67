using JobLocks.Benchmarks.Measuring;
using JobLocks.Benchmarks.Peers;

namespace JobLocks.Benchmarks.Cases;

/// <summary>All turns of one contender with one number of callers.</summary>
internal sealed record PairTurns(string Contender, int Callers, IReadOnlyList<LoadResult> Turns)
{
    public bool IsOurs => string.Equals(Contender, Ours.PeerName, StringComparison.Ordinal);

    public Spread Of(Func<LoadResult, double> number) => Spread.Of(Turns.Select(number));

    public string? Errors => LoadResult.Describe(Contender, Turns);
}
