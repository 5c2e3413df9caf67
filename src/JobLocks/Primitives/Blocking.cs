using System.Diagnostics.CodeAnalysis;

namespace JobLocks.Primitives;

/// <summary>
/// The one place where a thread waits for a task: for callers that have no asynchronous way, such as Hangfire's filters.
/// Everything awaited underneath is configured not to come back to the caller's context, so it cannot deadlock on it.
/// </summary>
[SuppressMessage("Usage", "VSTHRD002:Avoid problematic synchronous waits", Justification = "Blocks once, on purpose, here.")]
internal static class Blocking
{
    public static void Wait(Task task) => task.GetAwaiter().GetResult();

    public static T Wait<T>(Task<T> task) => task.GetAwaiter().GetResult();

    /// <summary>False where the task has not ended in time. Does not throw what the task throws.</summary>
    /// <exception cref="OperationCanceledException"><paramref name="stop"/> was cancelled first.</exception>
    public static bool TryWait(Task task, TimeSpan atMost, CancellationToken stop) =>
        Task.WaitAny([task], (int)Math.Min(atMost.TotalMilliseconds, int.MaxValue), stop) == 0;
}
