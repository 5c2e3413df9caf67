using System.Globalization;

namespace JobLocks.Benchmarks.Waiting;

/// <summary>Runs that are offered at once, as one line of text.</summary>
/// <param name="Prefix">What the names begin with.</param>
/// <param name="Runs">How many.</param>
/// <param name="Names">Of how many names, in turn.</param>
/// <param name="Milliseconds">How long each holds its lock.</param>
internal sealed record WaitingOffer(string Prefix, int Runs, int Names, int Milliseconds)
{
    /// <summary>The prefix of runs without a lock, beside others that have one.</summary>
    public const string Others = "other-";

    /// <summary>Which part of them this is.</summary>
    public int Part { get; init; }

    public int Parts { get; init; } = 1;

    /// <summary>The number of the first.</summary>
    public int Number { get; init; }

    /// <summary>The runs of this part, name by name.</summary>
    public IEnumerable<IGrouping<string, int>> ByName => Enumerable.Range(0, Runs)
        .Where(number => number / (2 * Names) % Parts == Part)
        .GroupBy(number => string.Create(CultureInfo.InvariantCulture, $"{Prefix}{number % Names}"), number => Number + number, StringComparer.Ordinal);

    public static WaitingOffer Read(string line)
    {
        var words = line.Split(' ');
        var numbers = words[1..].Select(static word => int.Parse(word, CultureInfo.InvariantCulture)).ToList();
        return new(words[0], numbers[0], numbers[1], numbers[2]) { Part = numbers[3], Parts = numbers[4], Number = numbers[5] };
    }

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Prefix} {Runs} {Names} {Milliseconds} {Part} {Parts} {Number}");
}
