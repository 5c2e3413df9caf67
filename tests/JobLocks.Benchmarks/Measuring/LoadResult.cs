using System.Globalization;

namespace JobLocks.Benchmarks.Measuring;

/// <summary>What one turn gave.</summary>
/// <param name="PerSecond">How many acts ended in the time.</param>
/// <param name="P50">Milliseconds for one act; not a number where none succeeded.</param>
/// <param name="P99">Milliseconds for the slowest hundredth of the acts.</param>
/// <param name="Errors">How often what went wrong, warm-up included.</param>
internal sealed record LoadResult(double PerSecond, double P50, double P99, IReadOnlyDictionary<string, int> Errors)
{
    /// <summary>The errors of several turns in words; null where there were none.</summary>
    public static string? Describe(string who, IEnumerable<LoadResult> turns)
    {
        var errors = turns
            .SelectMany(static turn => turn.Errors)
            .GroupBy(static error => error.Key, static error => error.Value, StringComparer.Ordinal)
            .Select(static error => string.Create(CultureInfo.InvariantCulture, $"{error.Sum():N0} x {error.Key}"))
            .Order(StringComparer.Ordinal)
            .ToList();
        return errors.Count == 0 ? null : $"errors of {who}: {string.Join(", ", errors)}";
    }
}
