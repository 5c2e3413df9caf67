namespace JobLocks.Hangfire;

/// <summary>
/// Detects that another storage has become the current storage of the process, which Hangfire does not announce. The waiting runs of that storage must be
/// woken even if no job of it reaches this process. Started only if <c>UseJobLocks</c> was called without a storage.
/// </summary>
internal static class CurrentStorageWatch
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(1);
    private static readonly Lock Sync = new();
    private static Timer? _timer;

    /// <summary>Starts the watch, once in a process.</summary>
    public static void Start()
    {
        lock (Sync)
        {
            if (_timer is not null) return;

            // The timer must not capture the execution context of the caller.
            using var noFlow = ExecutionContext.IsFlowSuppressed() ? default : ExecutionContext.SuppressFlow();
            _timer = new(static _ => ConfiguredGates.AssignCurrent(), null, Interval, Interval);
        }
    }
}
