using JobLocks.Postgres.Reading;
using JobLocks.Postgres.Session;
using JobLocks.Primitives;

namespace JobLocks.Tests.Inspection;

/// <summary>How many may look at once, and how often.</summary>
[TestFixture, FixtureLifeCycle(LifeCycle.InstancePerTestCase), CancelAfter(60_000)]
public sealed class InspectionThrottleTests
{
    private readonly InspectionThrottle _gate = new("db");

    [Test]
    public async Task Says_at_once_that_all_connections_are_in_use(CancellationToken stop)
    {
        var end = new TaskCompletionSource<int>(TaskCreationOptions.RunContinuationsAsynchronously);
        var all = Enumerable.Range(0, PooledUse.Inspection.Most).Select(_ => _gate.ReadAsync(() => new ValueTask<int>(end.Task), TimeSpan.Zero, stop).AsTask()).ToList();

        var refused = await RefusedAsync<JobLocksUnavailableException>(() => _gate.ReadAsync(One, TimeSpan.FromMilliseconds(1), stop).AsTask());
        end.SetResult(7);

        Assert.That(refused.Message, Does.StartWith("All 2 connections of this process for inspection of db are in use."));
        Assert.That(refused.InspectionErrorTitle, Is.Not.Null);
        Assert.That(await Task.WhenAll(all), Is.All.EqualTo(7));
        Assert.That(await _gate.ReadAsync(One, TimeSpan.FromSeconds(30), stop), Is.EqualTo(1));
    }

    [Test]
    public async Task Gives_the_room_back_of_a_reading_that_failed(CancellationToken stop)
    {
        for (var i = 0; i < 10; i++) await RefusedAsync<TimeoutException>(() => _gate.ReadAsync<int>(static () => throw new TimeoutException(), TimeSpan.Zero, stop).AsTask());

        Assert.That(await _gate.ReadAsync(One, TimeSpan.Zero, stop), Is.EqualTo(1));
    }

    [Test]
    public async Task Holds_readings_that_go_on_to_a_small_share_of_the_time(CancellationToken stop)
    {
        var (begun, read) = (BootClock.Now, TimeSpan.Zero);
        for (var i = 0; i < 12; i++) read += await _gate.ReadAsync(() => new ValueTask<TimeSpan>(TakeAsync(stop)), TimeSpan.FromSeconds(30), stop);

        // Two seconds are free, and after that each connection rests for up to a second.
        Assert.That(BootClock.Now - begun, Is.GreaterThan(read + TimeSpan.FromSeconds(0.5)));
    }

    private static ValueTask<int> One() => new(1);

    private static async Task<T> RefusedAsync<T>(Func<Task> act)
        where T : Exception
    {
        try
        {
            await act();
        }
        catch (T refused)
        {
            return refused;
        }

        throw new AssertionException($"No {typeof(T).Name} was thrown.");
    }

    private static async Task<TimeSpan> TakeAsync(CancellationToken stop)
    {
        var begun = BootClock.Now;
        await Task.Delay(TimeSpan.FromMilliseconds(300), stop);
        return BootClock.Now - begun;
    }
}
