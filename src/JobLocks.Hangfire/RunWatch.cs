using Hangfire;
using Hangfire.Server;
using Hangfire.States;
using Hangfire.Storage;
using Microsoft.Extensions.Logging;

namespace JobLocks.Hangfire;

/// <summary>
/// Stops a run whose lock is lost. A filter cannot cancel the token of a run, but Hangfire does so where the job leaves the
/// state Processing: its state is changed under the run. Thread-safe.
/// </summary>
internal sealed class RunWatch : IDisposable
{
    // The storage is often on the server that went away with the locks.
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(15);

    // Hangfire's own lock on a job, which nobody holds for long. After this it is time to see whether the run is over.
    private static readonly TimeSpan StateLockTimeout = TimeSpan.FromSeconds(5);

    private readonly object _sync = new();
    private readonly JobStorage _storage;
    private readonly BackgroundJob _job;
    private readonly CancellationToken _told;
    private readonly FetchedRun _run;
    private readonly JobLockHandle _handle;
    private readonly ILoggerFactory _loggers;
    private CancellationTokenRegistration _lost;
    private bool _isOver;
    private bool _hasTried;
    private volatile bool _hasStopped;

    private RunWatch(PerformContext context, FetchedRun run, JobLockHandle handle, ILoggerFactory loggers)
    {
        _storage = context.Storage;
        _job = context.BackgroundJob;
        _told = context.CancellationToken.ShutdownToken;
        _run = run;
        _handle = handle;
        _loggers = loggers;
    }

    /// <summary>Whether the job has left this run: what the run still returns or throws is nobody's.</summary>
    public bool HasStopped => _hasStopped;

    private bool IsOver
    {
        get
        {
            lock (_sync) return _isOver;
        }
    }

    /// <summary>Watches a run from now on, until it is disposed.</summary>
    /// <returns>Null for a run that cannot be stopped: without a token it would go on, beside its own retry.</returns>
    public static RunWatch? Over(PerformContext context, JobLockHandle handle, ILoggerFactory loggers)
    {
        if (!TakesToken(context.BackgroundJob) || FetchedRun.Of(context) is not { } run) return null;

        var watch = new RunWatch(context, run, handle, loggers);
        watch._lost = handle.Lost.UnsafeRegister(static watch => ((RunWatch)watch!).StopElsewhere(), watch);
        return watch;
    }

    /// <summary>The run is over, and its end is Hangfire's. Waits for nothing.</summary>
    public void Dispose()
    {
        _lost.Unregister();
        lock (_sync)
        {
            _isOver = true;
            Monitor.PulseAll(_sync);
        }
    }

    private static bool TakesToken(BackgroundJob job) =>
        job.Job.Method.GetParameters().Any(static parameter => parameter.ParameterType == typeof(CancellationToken) || parameter.ParameterType == typeof(IJobCancellationToken));

    /// <summary>On a thread of its own: Hangfire's storages block, and others are still to be told that their locks are lost.</summary>
    private void StopElsewhere() => _ = Task.Factory.StartNew(Stop, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

    private void Stop()
    {
        var log = _loggers.CreateLogger<JobLockAttribute>();
        for (var pause = FirstPause; !IsOver; pause = pause * 2 < LongestPause ? pause * 2 : LongestPause)
        {
            try
            {
                if (TryFail())
                    log.Stopping(_job.Id, _handle.ToString(), _handle.Key.Value);
                else
                    log.LeftAlone(_job.Id);
                return;
            }
            catch (Exception unreachable)
            {
                log.CannotStop(_job.Id, pause.TotalSeconds, unreachable);
            }

            Sleep(pause);
        }
    }

    /// <summary>False where there is nothing to stop any more.</summary>
    private bool TryFail()
    {
        using var outside = AmbientTransaction.Leave();
        using var connection = _storage.GetConnection();
        // Whoever changes the state of a job holds this lock: what is asked under it stays true until the commit.
        using var turn = connection.AcquireDistributedJobLock(_job.Id, StateLockTimeout);
        // A run that was told to stop, as its server is shutting down, goes back into its queue and has no retry to lose.
        if (IsOver || _told.IsCancellationRequested) return false;
        // Where an earlier try was stored and only its answer was lost, it was us who took the job away.
        if (!_run.IsIn(connection.GetStateData(_job.Id))) return _hasStopped = _hasTried;

        using var transaction = connection.CreateWriteTransaction();
        var failed = new LostRun(_handle).Failure(_run.ServerId);
        _run.States.ApplyState(new(_storage, connection, transaction, _job, failed, ProcessingState.StateName));
        _hasTried = true;
        transaction.Commit();
        return _hasStopped = true;
    }

    /// <summary>Shorter where the run ends meanwhile.</summary>
    private void Sleep(TimeSpan pause)
    {
        lock (_sync)
        {
            if (!_isOver) Monitor.Wait(_sync, pause);
        }
    }
}
