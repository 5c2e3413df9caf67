using System.Diagnostics.CodeAnalysis;
using JobLocks.Postgres.Session;
using JobLocks.Primitives;

namespace JobLocks.Postgres.Reading;

/// <summary>
/// Limits concurrent readings to the size of the pool. After a burst of two seconds of reading, each reading is followed by a rest of up to a second:
/// reading the lock table slows takes. Thread-safe.
/// </summary>
[SuppressMessage("Design", "CA1001:Types that own disposable fields should be disposable", Justification = "Nobody asks this semaphore for a handle of the system, and a rest may end after all else.")]
internal sealed class LookGate(string server)
{
    private const double Share = 0.05;

    private static readonly TimeSpan Burst = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan LongestRest = TimeSpan.FromSeconds(1);

    private readonly SemaphoreSlim _free = new(PooledUse.Looking.Most);
    private readonly Lock _sync = new();
    private TimeSpan _left = Burst;
    private TimeSpan _countedAt = BootClock.Now;

    /// <summary>Reads when there is room.</summary>
    /// <param name="read">The reading.</param>
    /// <param name="patience">How long to wait for room.</param>
    /// <param name="stop">Gives up.</param>
    /// <exception cref="JobLocksUnavailableException">There was none.</exception>
    public async ValueTask<T> ReadAsync<T>(Func<ValueTask<T>> read, TimeSpan patience, CancellationToken stop)
    {
        if (!await _free.WaitAsync(patience, stop).ConfigureAwait(false)) throw Full();

        var begun = BootClock.Now;
        try
        {
            return await read().ConfigureAwait(false);
        }
        finally
        {
            Leave(begun);
        }
    }

    private void Leave(TimeSpan begun)
    {
        var rest = Count(begun, BootClock.Now);
        if (rest > TimeSpan.Zero) _ = RestAsync(rest);
        else _free.Release();
    }

    private TimeSpan Count(TimeSpan begun, TimeSpan now)
    {
        lock (_sync)
        {
            var left = _left + ((now - _countedAt) * Share) - (now - begun);
            _left = left > Burst ? Burst : left < -LongestRest * Share ? -LongestRest * Share : left;
            _countedAt = now;
            return _left < TimeSpan.Zero ? -_left / Share : TimeSpan.Zero;
        }
    }

    private async Task RestAsync(TimeSpan rest)
    {
        await Task.Delay(rest).ConfigureAwait(false);
        _free.Release();
    }

    private JobLocksUnavailableException Full() => new(
        $"All {PooledUse.Looking.Most} connections of this process for looking at locks in {server} are in use. Runs have others, and are not held up by it.")
    {
        LookTrouble = "Too many look at the locks at this moment",
    };
}
