using JobLocks.Chaos;

namespace JobLocks.Together.Tests;

/// <summary>A history that a test writes by hand, and what the checker says to it.</summary>
public abstract class WrittenHistory
{
    private readonly Dictionary<int, Offer> _offers = [];
    private readonly List<Look> _looks = [];
    private readonly List<Write> _writes = [];
    private readonly List<Rest> _rests = [];

    private protected List<Event> Events { get; } = [];

    [SetUp]
    public void Forget()
    {
        Events.Clear();
        _offers.Clear();
        _looks.Clear();
        _writes.Clear();
        _rests.Clear();
    }

    private protected List<string> Check(int except = 0) =>
    [
        .. Checker.Check(new(Events, _offers, _looks) { Writes = _writes, Rests = _rests }, checksOrder: true)
            .Where(line => !string.Equals(line, $"never started: run {except}", StringComparison.Ordinal)),
    ];

    private protected void Offer(int run, Kind kind = Kind.Alone, string name = "a", string second = "") => Offer(new(run, name, second, kind, IsForHangfire: true, 1));

    private protected void Offer(Offer offer) => _offers[offer.Number] = offer;

    private protected void Enter(int run, long place = 0, string attempt = "") => Add(Act.Enter, run, $"{run}{attempt}", place);

    private protected void Leave(int run, string attempt = "", double later = 0) => Add(Act.Leave, run, $"{run}{attempt}", later: later);

    private protected void LookAt(int run, bool isHeld, int? since = null)
    {
        var key = LockKey.Of("a").Value;
        HashSet<(long, int)> held = isHeld ? [(key, 7)] : [];
        _looks.Add(new(since ?? Events.Count, Events.Count, held, held, [(key, key, 7, run)]));
    }

    /// <summary>So many occurrences were shown as waiting.</summary>
    private protected void LookAtWaiting(int run, int count) =>
        _looks.Add(new(Events.Count, Events.Count, [], [], []) { Waiting = [.. Enumerable.Repeat(run, count)] });

    /// <summary>The job store has written the data of an attempt.</summary>
    private protected void Wrote(int run, int before, int after)
    {
        _writes.Add(new(Events.Count + 1, _offers[run].Name, $"{run}", before, after));
        // Its stamp is of the same sequence.
        Add(Act.Struck);
    }

    /// <summary>An operator begins something with the whole store of Hangfire, or has done it.</summary>
    private protected void AddToStore(Act act)
    {
        Add(act);
        Events[^1] = Events[^1] with { Process = StoreLoss.Hangfire };
    }

    private protected void LeftOver(int run, string state) => _rests.Add(new(run, state));

    private protected void Add(Act act, int run = 0, string attempt = "", long place = 0, double later = 0) =>
        Events.Add(new(Events.Count + 1, (Events.Count * 0.01) + later, act, "one", run, attempt, place));
}
