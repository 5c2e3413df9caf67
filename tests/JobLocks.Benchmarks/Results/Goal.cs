using System.Globalization;
using JobLocks.Benchmarks.Measuring;

namespace JobLocks.Benchmarks.Results;

/// <summary>What a row must show.</summary>
/// <param name="Text">As it is printed.</param>
/// <param name="IsReachedBy">Decides on ours and theirs.</param>
internal sealed record Goal(string Text, Func<Spread, Spread?, bool> IsReachedBy)
{
    public static Goal RatioAtLeast(double least) =>
        new(Write($"ratio >= {least}"), (ours, theirs) => theirs is not null && ours.RatioTo(theirs) >= least);

    public static Goal RatioAbove(double bound) =>
        new(Write($"ratio > {bound}"), (ours, theirs) => theirs is not null && ours.RatioTo(theirs) > bound);

    public static Goal RatioAtMost(double most) =>
        new(Write($"ratio <= {most}"), (ours, theirs) => theirs is not null && ours.RatioTo(theirs) <= most);

    public static Goal OursAtMost(double most) =>
        new(Write($"ours <= {most}"), (ours, _) => ours.Median <= most);

    private static string Write(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
