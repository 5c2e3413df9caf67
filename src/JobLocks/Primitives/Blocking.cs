using System.Diagnostics.CodeAnalysis;

namespace JobLocks.Primitives;

/// <summary>
/// The only code that blocks a thread until a task ends: for callers that cannot await, such as Hangfire's filters.
/// All awaits below it use <c>ConfigureAwait(false)</c>, so it cannot deadlock on the synchronization context of the caller.
/// </summary>
[SuppressMessage("Usage", "VSTHRD002:Avoid problematic synchronous waits", Justification = "Blocks once, on purpose, here.")]
internal static class Blocking
{
    public static void Wait(Task task) => task.GetAwaiter().GetResult();

    public static T Wait<T>(Task<T> task) => task.GetAwaiter().GetResult();

    /// <summary>Waits until the task ends; false where it has not ended in time. Does not rethrow an exception of the task.</summary>
    /// <exception cref="OperationCanceledException"><paramref name="stop"/> was cancelled before the task ended.</exception>
    public static bool TryWait(Task task, TimeSpan atMost, CancellationToken stop) =>
        Task.WaitAny([task], (int)Math.Min(atMost.TotalMilliseconds, int.MaxValue), stop) == 0;
}
