using Quartz;

namespace JobLocks.Chaos;

/// <summary>Draws at random what is offered next.</summary>
internal sealed class Draw(int seed)
{
    /// <summary>All series lock this name, and so do other runs.</summary>
    public const string RepeatingName = "c";

    private const int MostMilliseconds = 30;

    // One of so many takes long enough to be written down as a holder.
    private const int Long = 25;
    private const int LongMilliseconds = 400;

    // Of a hundred.
    private const int Families = 12;
    private const int Counts = 5;
    private const int Makers = 6;
    private const int Repeats = 3;

    // Together, so that one reads right after another has written.
    private const int MostCounting = 8;

    private const int MostOccurrences = 6;
    private const int BetweenOccurrences = 300;

    private static readonly string[] Names = ["a", "b", RepeatingName];
    private static readonly End[] QuartzConditions = [End.Success, End.Failure, End.Veto, End.Any, End.Failure | End.Veto];
    private static readonly End[] HangfireConditions = [End.Success, End.Deletion, End.Any];
    private static readonly OverlapPolicy[] Policies = [OverlapPolicy.Skip, OverlapPolicy.BufferOne, OverlapPolicy.CancelPrevious];

    private readonly Random _random = new(seed);
    private int _last;

    /// <summary>One run, several that count, or a parent with its continuations in order.</summary>
    public IReadOnlyList<Offer> Next() => _random.Next(100) switch
    {
        < Families => Family(),
        < Families + Counts => Counting(),
        < Families + Counts + Makers => [Maker()],
        < Families + Counts + Makers + Repeats => [Repeated()],
        _ => [Plain(_random.Next(2) == 0, KindOfSingle())],
    };

    private Offer[] Family()
    {
        var hangfire = _random.Next(2) == 0;
        var family = new Offer[_random.Next(2, 4)];
        for (var i = 0; i < family.Length; i++)
        {
            family[i] = Plain(hangfire, KindOfMember()) with { IsMeantToFail = _random.Next(4) == 0 };
            if (i > 0) family[i] = family[i] with { Parent = family[i - 1].Number, After = One(hangfire ? HangfireConditions : QuartzConditions) };
        }

        return family;
    }

    private Offer[] Counting()
    {
        var counter = One(QuartzOffers.Counters);
        return [.. Enumerable.Range(0, _random.Next(1, MostCounting + 1)).Select(_ => Plain(hangfire: false, Kind.Alone) with { Counts = true, Name = counter })];
    }

    private Offer Maker()
    {
        var maker = Plain(_random.Next(2) == 0, Kind.Alone) with { IsInTransaction = false };
        return maker with { Parting = maker.IsForHangfire ? Parting.None : Parting.Moves, Makes = MadeBy(maker) };
    }

    private Offer Repeated()
    {
        var series = new Series(One(Policies), _random.Next(3, MostOccurrences + 1), BetweenOccurrences);
        var offer = Plain(hangfire: false, Kind.Alone) with { Name = RepeatingName, Series = series };
        // An occurrence that is being cancelled would race with the one that ends the schedule.
        var parting = series.Policy == OverlapPolicy.CancelPrevious ? Parting.None : (Parting)_random.Next((int)Parting.Moves + 1);
        return offer with { Parting = parting, Makes = parting == Parting.Moves ? MadeBy(offer) : null };
    }

    /// <summary>Under another name: a run that waits for the lock of its maker is another story.</summary>
    private Offer MadeBy(Offer maker) => Plain(maker.IsForHangfire, Kind.Alone) with
    {
        Name = Names[(Array.IndexOf(Names, maker.Name) + 1) % Names.Length],
        Maker = maker.Number,
        IsInTransaction = false,
    };

    private Offer Plain(bool hangfire, Kind kind)
    {
        var first = _random.Next(Names.Length);
        var second = kind == Kind.Both ? Names[(first + 1) % Names.Length] : "";
        var milliseconds = _random.Next(Long) == 0 ? LongMilliseconds : _random.Next(1, MostMilliseconds);
        return new(++_last, kind == Kind.OfTwo ? "two" : Names[first], second, kind, hangfire, milliseconds) { IsInTransaction = hangfire && _random.Next(5) == 0 };
    }

    private Kind KindOfSingle() => _random.Next(12) switch { 0 or 1 => Kind.Shared, 2 => Kind.OfTwo, 3 => Kind.Both, 4 => Kind.Reschedules, 5 => Kind.Skips, _ => Kind.Alone };

    private Kind KindOfMember() => _random.Next(8) switch { 0 => Kind.Shared, 1 => Kind.Both, 2 => Kind.Reschedules, 3 => Kind.Skips, 4 => Kind.Fails, _ => Kind.Alone };

    private T One<T>(IReadOnlyList<T> of) => of[_random.Next(of.Count)];
}
