
namespace JobLocks.Benchmarks.Measuring;

/// <summary>How much is measured.</summary>
internal sealed record Effort
{
    /// <summary>For numbers that are to be believed.</summary>
    public static Effort Full { get; } = new()
    {
        Rounds = 5,
        Turn = TimeSpan.FromSeconds(2),
        WarmUp = TimeSpan.FromSeconds(1),
        Handovers = 40,
        Jobs = 3000,
        JobRounds = 7,
        WaitingRounds = 3,
        WaitingWarmUp = 400,
        WaitingAtMost = TimeSpan.FromSeconds(60),
    };

    /// <summary>For a look at whether it works: two minutes.</summary>
    public static Effort Quick { get; } = new()
    {
        Rounds = 2,
        Turn = TimeSpan.FromMilliseconds(150),
        WarmUp = TimeSpan.FromMilliseconds(200),
        Handovers = 6,
        Jobs = 200,
        JobRounds = 2,
        WaitingRounds = 1,
        WaitingWarmUp = 40,
        WaitingAtMost = TimeSpan.FromSeconds(8),
    };

    public required int Rounds { get; init; }

    /// <summary>How long a contender is measured when it is its turn.</summary>
    public required TimeSpan Turn { get; init; }

    /// <summary>How long it runs before that, at least.</summary>
    public required TimeSpan WarmUp { get; init; }

    /// <summary>How many locks change hands in a turn.</summary>
    public required int Handovers { get; init; }

    /// <summary>How many jobs a scheduler runs in a turn.</summary>
    public required int Jobs { get; init; }

    /// <summary>How many turns a scheduler gets: in full more than the others, since the differences are small.</summary>
    public required int JobRounds { get; init; }

    /// <summary>How often the runs that wait are measured: some of the peers take half a minute for it.</summary>
    public required int WaitingRounds { get; init; }

    /// <summary>How many runs come before them, so that what is measured has been compiled.</summary>
    public required int WaitingWarmUp { get; init; }

    /// <summary>After so long, those that wait count as too slow: a peer that tries its luck takes minutes.</summary>
    public required TimeSpan WaitingAtMost { get; init; }
}
