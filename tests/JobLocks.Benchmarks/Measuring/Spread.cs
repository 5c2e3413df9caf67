namespace JobLocks.Benchmarks.Measuring;

/// <summary>What several rounds gave: the median, and how far they lay apart.</summary>
/// <param name="Rounds">One number for each, in their order.</param>
internal sealed record Spread(IReadOnlyList<double> Rounds)
{
    public double Median => MedianOf(Rounds);

    public double Least => Rounds.Min();

    public double Most => Rounds.Max();

    public static Spread Of(IEnumerable<double> rounds) => new([.. rounds]);

    /// <summary>
    /// Half of the rounds gave a greater ratio. What slows down the machine for a while meets all that have their turn then, and is no difference between them.
    /// </summary>
    public double RatioTo(Spread other) => Rounds.Count == other.Rounds.Count ? MedianOf([.. Rounds.Zip(other.Rounds, static (one, two) => one / two)]) : Median / other.Median;

    private static double MedianOf(IReadOnlyList<double> numbers)
    {
        var sorted = numbers.Order().ToList();
        var middle = sorted.Count / 2;
        return sorted.Count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
    }
}
