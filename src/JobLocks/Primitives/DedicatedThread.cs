namespace JobLocks.Primitives;

/// <summary>Starts dedicated threads, because the jobs of the users may occupy all threads of the pool.</summary>
internal static class DedicatedThread
{
    public static Thread Start(string name, Action run)
    {
        // The execution context of a job, with its AsyncLocal values, must not flow into this thread.
        using var noFlow = ExecutionContext.IsFlowSuppressed() ? default : ExecutionContext.SuppressFlow();
        var thread = new Thread(() => run()) { Name = name, IsBackground = true };
        thread.Start();
        return thread;
    }
}
