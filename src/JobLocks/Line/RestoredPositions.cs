using JobLocks.Diagnostics;
using JobLocks.Inspection;
using JobLocks.Postgres;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace JobLocks.Line;

/// <summary>
/// Gives runs their old positions back whose queue entries are gone though their job store still keeps them: an operator emptied or dropped the table.
/// Each process does so for the runs that it has parked itself. Used by the thread of the <see cref="LineWatch"/> alone.
/// </summary>
internal sealed class RestoredPositions(LineStatements statements, LineWatch watch, ILogger log)
{
    private const int MostInPage = 1000;

    private static readonly TimeSpan BetweenPages = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan LongestLook = TimeSpan.FromSeconds(0.5);

    private readonly Dictionary<string, (long Until, TimeSpan NextAt)> _looks = new(StringComparer.Ordinal);

    /// <summary>Looks after the next page of the positions in a store. Where entries are gone, after all of them, within half a second.</summary>
    public void Restore(IRunStore store)
    {
        var look = _looks.GetValueOrDefault(store.Id!);
        if (BootClock.Now < look.NextAt) return;

        var since = BootClock.Now;
        var until = look.Until;
        while (RestorePage(store, ref until) && BootClock.Now - since < LongestLook)
        {
        }

        _looks[store.Id!] = (until, BootClock.Now + BetweenPages);
    }

    /// <returns>Whether the page after this one should be looked at as well, at once.</returns>
    private bool RestorePage(IRunStore store, ref long until)
    {
        var after = until;
        var page = watch.Parked.Of(store.Id!).Where(place => place.Place > after).Take(MostInPage).ToList();
        until = page.Count < MostInPage ? 0 : page[^1].Place;
        if (page.Count == 0) return false;

        var missing = Ask(EntrySql.WithoutEntry, new NpgsqlParameter<long[]> { TypedValue = [.. page.Select(static place => place.Place)] }).ToHashSet();
        var runs = page.Where(place => missing.Contains(place.Place)).Select(static place => (Place: place, Run: RunAt(place))).ToDictionary(static of => of.Run.Place);
        if (runs.Count == 0) return false;

        var restored = 0;
        foreach (var (run, fate) in watch.FatesOf([.. runs.Values.Select(static of => of.Run)], store.LookAsync))
        {
            var place = runs[run.Place].Place;
            // Others are over, or wait at another position by now.
            if (fate == RunFate.Waits && Ask(EntrySql.Restore, place.Stance!.ToPark(place)) is [_]) restored++;
            else watch.Parked.Remove(run.Place);
        }

        if (restored > 0) log.Restored(restored, Shown.Name(store.Id!));
        return restored > 0 && until != 0;
    }

    private List<long> Ask(string sql, params NpgsqlParameter[] parameters) =>
        Blocking.Wait(statements.ReadAsync(sql, static row => row.GetInt64(0), blocks: true, CancellationToken.None, parameters).AsTask());

    private static WaitingRun RunAt(LinePlace place) => new(place.Place, place.Key, place.Stance!.Wish.ToString(), place.Stance.Run, IsParked: true, IsOurs: true, place.Since);
}
