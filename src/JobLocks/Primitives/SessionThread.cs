namespace JobLocks.Primitives;

/// <summary>Threads of our own: those of the pool may all be taken by the users' jobs.</summary>
internal static class SessionThread
{
    public static Thread Start(string name, Action run)
    {
        // What a job carries along its calls has no business here.
        using var noFlow = ExecutionContext.IsFlowSuppressed() ? default : ExecutionContext.SuppressFlow();
        var thread = new Thread(() => run()) { Name = name, IsBackground = true };
        thread.Start();
        return thread;
    }
}
