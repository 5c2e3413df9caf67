namespace JobLocks.Chaos;

/// <summary>What operators do to stores and applications in a story.</summary>
internal sealed class Upheavals(Random random, History history, Offers offers, Draw draw, string connectionString, IReadOnlyList<Upheaval> without)
{
    // Of a thousand steps.
    private const int Most = 22;

    private readonly StoreActs _stores = new(history, offers);
    private readonly Dictionary<Upheaval, int> _counts = Enum.GetValues<Upheaval>().ToDictionary(static one => one, static _ => 0);
    private ServerProcess? _inStandby;

    /// <summary>How often each of them happened.</summary>
    public IReadOnlyDictionary<Upheaval, int> Counts => _counts;

    /// <summary>One of them, or mostly none.</summary>
    /// <returns>Whether one happened.</returns>
    public async Task<bool> StepAsync(List<ServerProcess> servers, Func<Task> restart, CancellationToken stop)
    {
        var dice = random.Next(1000);
        if (dice >= Most) return false;

        var what = dice switch { < 3 => Upheaval.Retire, < 6 => Upheaval.Clear, < 10 => Upheaval.Restore, < 14 => Upheaval.Standby, _ => Upheaval.Again };
        if (without.Contains(what)) return false;

        switch (what)
        {
            case Upheaval.Retire:
                offers.Add(await Guest.ComeAndGoAsync(_counts[what] + 1, connectionString, history, draw, stop));
                break;
            case Upheaval.Clear:
                await _stores.ClearAsync(random.Next(2) == 0, stop);
                break;
            case Upheaval.Restore when !_stores.HasDump:
                await _stores.DumpAsync(random.Next(2) == 0, stop);
                return true;
            case Upheaval.Restore:
                // Those that are started take it as they find it.
                _inStandby = null;
                await Task.WhenAll(servers.Select(static server => server.DisposeAsync().AsTask()));
                servers.Clear();
                await _stores.RestoreAsync(stop);
                await restart();
                break;
            case Upheaval.Standby:
                await ComeBackAsync(servers, stop);
                _inStandby = servers[random.Next(servers.Count)];
                await _inStandby.TellAsync(Server.Standby, stop);
                break;
            case Upheaval.Again:
                if (Single() is not { } single) return false;

                await offers.AgainAsync(single, stop);
                break;
        }

        _counts[what]++;
        return true;
    }

    /// <summary>The node that is in standby works again.</summary>
    public async Task ComeBackAsync(List<ServerProcess> servers, CancellationToken stop)
    {
        if (_inStandby is { } server && servers.Contains(server)) await server.TellAsync(Server.Resume, stop);
        _inStandby = null;
    }

    /// <summary>One of the last runs, without family and series: nothing else depends on its keys.</summary>
    private Offer? Single()
    {
        var parents = offers.All.Values.Select(static offer => offer.Parent).ToHashSet();
        var singles = offers.All.Values
            .Where(offer => offer is { Parent: 0, Maker: 0, Makes: null, Series: null, Counts: false, IsOfGuest: false } && !parents.Contains(offer.Number))
            .OrderByDescending(static offer => offer.Number).Take(20).ToList();
        return singles.Count == 0 ? null : singles[random.Next(singles.Count)];
    }
}
