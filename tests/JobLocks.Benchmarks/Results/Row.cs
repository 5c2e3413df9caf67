using JobLocks.Benchmarks.Measuring;

namespace JobLocks.Benchmarks.Results;

/// <summary>One comparison.</summary>
internal sealed record Row
{
    public required string Case { get; init; }

    public required string Peer { get; init; }

    /// <summary>How many callers, workers or waiters at once; null where the question makes no sense.</summary>
    public int? Callers { get; init; }

    public required string Metric { get; init; }

    public required string Unit { get; init; }

    /// <summary>Null where it could not be measured; the note says why.</summary>
    public Spread? Ours { get; init; }

    public Spread? Theirs { get; init; }

    /// <summary>Null where the number is only stated.</summary>
    public Goal? Goal { get; init; }

    /// <summary>True where ours made errors: then no number counts.</summary>
    public bool IsSpoiled { get; init; }

    public string? Note { get; init; }

    /// <summary>Ours divided by theirs.</summary>
    public double? Ratio => Ours is { } ours && Theirs is { } theirs && ours.RatioTo(theirs) is var ratio && double.IsFinite(ratio) ? ratio : null;

    /// <summary>Null where there is no goal.</summary>
    public bool? IsReached => Goal is null ? null : !IsSpoiled && Ours is { } ours && Goal.IsReachedBy(ours, Theirs);

    /// <summary>The row of a case that broke: as good as a goal that was missed.</summary>
    public static Row Broken(string @case, Exception reason) => new()
    {
        Case = @case,
        Peer = "-",
        Metric = "could not be measured",
        Unit = "",
        Goal = new("a result", static (_, _) => true),
        Note = $"{reason.GetType().Name}: {reason.Message.ReplaceLineEndings(" ")}",
    };
}
