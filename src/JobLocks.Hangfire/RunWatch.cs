using Hangfire;
using Hangfire.Server;
using Hangfire.States;
using Hangfire.Storage;
using Microsoft.Extensions.Logging;

namespace JobLocks.Hangfire;

/// <summary>
/// Stops a run whose lock is lost. A filter cannot cancel the token of a run. Hangfire cancels it when the job leaves the state Processing, so this class moves
/// the job to Failed while the run is still executing. Thread-safe.
/// </summary>
internal sealed class RunWatch : IDisposable
{
    // The pauses between two tries. The storage is often on the same server as the locks, so it may be unreachable too.
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(15);

    // The timeout for Hangfire's own lock on a job, which is held only for a short time. After this time the watch checks whether the run has ended.
    private static readonly TimeSpan StateLockTimeout = TimeSpan.FromSeconds(5);

    private readonly object _sync = new();
    private readonly JobStorage _storage;
    private readonly BackgroundJob _job;
    private readonly CancellationToken _shutdown;
    private readonly FetchedRun _run;
    private readonly JobLockHandle _handle;
    private readonly ILoggerFactory _loggers;
    // Assigned before TryStart returns. Only Dispose reads it.
    private CancellationTokenRegistration _lost;
    // Accessed under _sync.
    private bool _isOver;
    // Used only by the thread of Stop.
    private bool _hasTried;
    private volatile bool _hasStopped;

    private RunWatch(PerformContext context, FetchedRun run, JobLockHandle handle, ILoggerFactory loggers)
    {
        _storage = context.Storage;
        _job = context.BackgroundJob;
        _shutdown = context.CancellationToken.ShutdownToken;
        _run = run;
        _handle = handle;
        _loggers = loggers;
    }

    /// <summary>Whether the job was moved to Failed by this watch. What the run still returns or throws must be ignored.</summary>
    public bool HasStopped => _hasStopped;

    private bool IsOver
    {
        get
        {
            lock (_sync) return _isOver;
        }
    }

    /// <summary>Starts to watch a run. Dispose the result when the run ends.</summary>
    /// <returns>Null for a run that cannot be stopped. Without a cancellation token it would continue beside its own retry.</returns>
    public static RunWatch? TryStart(PerformContext context, JobLockHandle handle, ILoggerFactory loggers)
    {
        if (!TakesToken(context.BackgroundJob) || FetchedRun.Of(context) is not { } run) return null;

        var watch = new RunWatch(context, run, handle, loggers);
        watch._lost = handle.Lost.UnsafeRegister(static watch => ((RunWatch)watch!).StartStopping(), watch);
        return watch;
    }

    /// <summary>Ends the watch: the run has ended, and Hangfire processes its result. Does not block.</summary>
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

    /// <summary>Starts <see cref="Stop"/> on its own thread: Hangfire's storages block, and the callbacks of other lost handles must not be delayed.</summary>
    private void StartStopping() => _ = Task.Factory.StartNew(Stop, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

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
                    log.NotStopped(_job.Id);
                return;
            }
            catch (Exception unreachable)
            {
                log.CannotStop(_job.Id, pause.TotalSeconds, unreachable);
            }

            Sleep(pause);
        }
    }

    /// <summary>Moves the job to Failed. False if there is nothing to stop any more.</summary>
    private bool TryFail()
    {
        using var noTransaction = AmbientTransaction.Suppress();
        using var connection = _storage.GetConnection();
        // Every state change of a job is made under this lock, so what is read under it stays true until the commit.
        using var jobLock = connection.AcquireDistributedJobLock(_job.Id, StateLockTimeout);
        // A run that stops because its server shuts down is put back into its queue. It needs no retry.
        if (IsOver || _shutdown.IsCancellationRequested) return false;
        // If an earlier commit succeeded but its answer was lost, this watch has already moved the job.
        if (!_run.IsStillProcessing(connection.GetStateData(_job.Id))) return _hasStopped = _hasTried;

        using var transaction = connection.CreateWriteTransaction();
        var failed = new LostRun(_handle).Failure(_run.ServerId);
        _run.States.ApplyState(new(_storage, connection, transaction, _job, failed, ProcessingState.StateName));
        _hasTried = true;
        transaction.Commit();
        return _hasStopped = true;
    }

    /// <summary>Sleeps, but wakes up when the run ends.</summary>
    private void Sleep(TimeSpan pause)
    {
        lock (_sync)
        {
            if (!_isOver) Monitor.Wait(_sync, pause);
        }
    }
}
