namespace JobLocks.Chaos;

/// <summary>Looks at the locks again and again, as a dashboard does, and writes down what it was shown beside what PostgreSQL said.</summary>
internal sealed class Onlooker(IJobLockInspector locks, History history, Func<string, int> runOf)
{
    private static readonly TimeSpan BetweenLooks = TimeSpan.FromMilliseconds(50);

    private static readonly LockKey Repeating = LockKey.Of(Draw.RepeatingName);

    private readonly List<Look> _looks = [];

    public IReadOnlyList<Look> Looks => _looks;

    /// <summary>Looks until it is told to stop.</summary>
    public async Task WatchAsync(CancellationToken stop)
    {
        try
        {
            while (true)
            {
                var since = await history.StampAsync(stop);
                var before = await history.LocksAsync(stop);
                var held = await locks.GetHeldAsync(stop: stop);
                var after = await history.LocksAsync(stop);
                // The first page: what waits behind it is seen when the queue is shorter.
                var waiting = await locks.GetWaitingAsync(Repeating, stop: stop);
                _looks.Add(new(
                    since,
                    await history.StampAsync(stop),
                    before,
                    after,
                    [.. held.Items.Select(one => (one.NameKey.Value, one.Key.Value, one.Holder.Backend, one.Holder.Run is { } run ? runOf(run) : 0))])
                {
                    Waiting = [.. waiting.Items.Select(static one => one.Job is { } job ? QuartzOffers.SeriesOf(job) : 0).Where(static series => series > 0)],
                });
                await Task.Delay(BetweenLooks, stop);
            }
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            // It has seen enough.
        }
    }
}
