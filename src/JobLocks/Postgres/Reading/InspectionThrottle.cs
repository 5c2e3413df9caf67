using System.Diagnostics.CodeAnalysis;
using JobLocks.Postgres.Session;
using JobLocks.Primitives;

namespace JobLocks.Postgres.Reading;

/// <summary>
/// Limits concurrent reads to the size of the connection pool. After a burst of two seconds of read time, each read is followed by a pause of up to one second:
/// reading the lock table slows down acquires. Thread-safe.
/// </summary>
[SuppressMessage("Design", "CA1001:Types that own disposable fields should be disposable", Justification = "No code asks this semaphore for a wait handle, and a pause may end after everything else.")]
internal sealed class InspectionThrottle(string server)
{
    private const double BudgetShare = 0.05;

    private static readonly TimeSpan Burst = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(1);

    private readonly SemaphoreSlim _free = new(PooledUse.Inspection.Most);
    private readonly Lock _sync = new();
    private TimeSpan _budget = Burst;
    private TimeSpan _chargedAt = BootClock.Now;

    /// <summary>Reads when a connection is free.</summary>
    /// <param name="read">The read.</param>
    /// <param name="timeout">How long to wait for a free connection.</param>
    /// <param name="stop">Cancels the call.</param>
    /// <exception cref="JobLocksUnavailableException">No connection became free in time.</exception>
    public async ValueTask<T> ReadAsync<T>(Func<ValueTask<T>> read, TimeSpan timeout, CancellationToken stop)
    {
        if (!await _free.WaitAsync(timeout, stop).ConfigureAwait(false)) throw CreateFullException();

        var startedAt = BootClock.Now;
        try
        {
            return await read().ConfigureAwait(false);
        }
        finally
        {
            ReleaseOrPause(startedAt);
        }
    }

    private void ReleaseOrPause(TimeSpan startedAt)
    {
        var pause = Charge(startedAt, BootClock.Now);
        if (pause > TimeSpan.Zero) _ = PauseAsync(pause);
        else _free.Release();
    }

    private TimeSpan Charge(TimeSpan startedAt, TimeSpan now)
    {
        lock (_sync)
        {
            var budget = _budget + ((now - _chargedAt) * BudgetShare) - (now - startedAt);
            _budget = budget > Burst ? Burst : budget < -LongestPause * BudgetShare ? -LongestPause * BudgetShare : budget;
            _chargedAt = now;
            return _budget < TimeSpan.Zero ? -_budget / BudgetShare : TimeSpan.Zero;
        }
    }

    private async Task PauseAsync(TimeSpan pause)
    {
        await Task.Delay(pause).ConfigureAwait(false);
        _free.Release();
    }

    private JobLocksUnavailableException CreateFullException() => new(
        $"All {PooledUse.Inspection.Most} connections of this process for inspection of {server} are in use. Runs use other connections.")
    {
        InspectionErrorTitle = "Too many page requests at the moment",
    };
}
