namespace JobLocks.Hangfire;

/// <summary>
/// Notices that a storage has become the current one of the process, which Hangfire announces to nobody: its waiting runs are to be woken even
/// where no job comes that would show it. Started only where <c>UseJobLocks</c> was told of no storage.
/// </summary>
internal static class CurrentStorageWatch
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(1);
    private static readonly Lock Sync = new();
    private static Timer? _timer;

    /// <summary>Starts it, once in a process.</summary>
    public static void Start()
    {
        lock (Sync)
        {
            if (_timer is not null) return;

            // What the caller carries along its calls has no business there.
            using var noFlow = ExecutionContext.IsFlowSuppressed() ? default : ExecutionContext.SuppressFlow();
            _timer = new(static _ => ConfiguredGates.AssignCurrent(), null, Interval, Interval);
        }
    }
}
