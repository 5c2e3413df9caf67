using JobLocks.Postgres.WaitQueue;
using JobLocks.Primitives;
using Npgsql;

namespace JobLocks.Postgres.Reading;

/// <summary>
/// Takes the samples for the plot of the overview, in the processes that sweep. Of several such processes, the first one in each interval takes the sample. It is
/// taken over a connection of the inspection, because locks must not wait for it. Used by the thread of the <see cref="ReadModelWriter"/> alone.
/// </summary>
/// <param name="statements">The connections of the inspection.</param>
/// <param name="isSweeping">Whether this process sweeps for a store.</param>
/// <param name="options">The options.</param>
internal sealed class SampleWriter(PooledStatements statements, Func<bool> isSweeping, JobLocksOptions options)
{
    private TimeSpan _triedAt = TimeSpan.MinValue / 2;

    /// <summary>Takes a sample, if it is time.</summary>
    public void TakeIfDue()
    {
        // Twice in an interval, so that no interval is missed when the thread is late.
        if (BootClock.Now - _triedAt < options.SampleInterval / 2 || !isSweeping()) return;

        _triedAt = BootClock.Now;
        try
        {
            Blocking.Wait(statements.RunAsync(
                TimelineSql.TakeSample, blocks: true, CancellationToken.None, new NpgsqlParameter<double> { TypedValue = options.SampleInterval.TotalMilliseconds }).AsTask());
        }
        catch (NpgsqlException busy) when (busy.InnerException is TimeoutException)
        {
            // Viewers use all connections, or the server is slow. One sample is missing, and holders are recorded nevertheless.
        }
    }
}
