using JobLocks.Diagnostics;
using JobLocks.Postgres.Locks;
using JobLocks.Postgres.WaitQueue;
using JobLocks.Primitives;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace JobLocks.Postgres.Reading;

/// <summary>
/// Takes the samples for the plots of the overview, in the processes that sweep. Of several such processes, the first one in each interval takes the sample. It is
/// taken on a thread of its own and over a connection of the inspection, because neither locks nor the record of the holders must wait for it. Thread-safe.
/// </summary>
internal sealed class SampleWriter : IDisposable
{
    private readonly PooledStatements _statements;
    private readonly LockDispatcher _dispatcher;
    private readonly Func<bool> _isSweeping;
    private readonly JobLocksOptions _options;
    private readonly ILogger _log;
    private readonly RepeatingThread _thread;
    // Used by _thread alone.
    private bool _isFailing;

    /// <param name="statements">The connections of the inspection.</param>
    /// <param name="dispatcher">The locks.</param>
    /// <param name="isSweeping">Whether this process sweeps for a store.</param>
    /// <param name="options">The options.</param>
    /// <param name="log">The log.</param>
    public SampleWriter(PooledStatements statements, LockDispatcher dispatcher, Func<bool> isSweeping, JobLocksOptions options, ILogger log)
    {
        _statements = statements;
        _dispatcher = dispatcher;
        _isSweeping = isSweeping;
        _options = options;
        _log = log;
        // Twice in an interval, so that no interval is missed when the thread is late.
        _thread = new("JobLocks samples", options.SampleInterval / 2, TakeIfSweeping);
    }

    /// <summary>Starts the samples, after a session has opened.</summary>
    public void Start()
    {
        if (_options.Schema is not null) _thread.Start(atOnce: false);
    }

    public void Dispose() => _thread.Dispose();

    private void TakeIfSweeping()
    {
        if (_dispatcher.Sessions.Backend is null || !_dispatcher.Sessions.Capabilities.HasTimeline || !_isSweeping()) return;

        try
        {
            Blocking.Wait(_statements.RunAsync(
                TimelineSql.TakeSample, blocks: true, CancellationToken.None, new NpgsqlParameter<double> { TypedValue = _options.SampleInterval.TotalMilliseconds }).AsTask());
            _isFailing = false;
        }
        catch (NpgsqlException busy) when (busy.InnerException is TimeoutException)
        {
            // Viewers use all connections, or the server is slow. One sample is missing.
        }
        catch (Exception failed)
        {
            // The plots show less for a while. Logged once in an outage, and not at each attempt.
            if (!_isFailing) _log.CannotTakeSamples(_dispatcher.Server, failed);
            _isFailing = true;
        }
    }
}
