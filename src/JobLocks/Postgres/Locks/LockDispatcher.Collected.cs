using System.Diagnostics;
using JobLocks.Diagnostics;
using JobLocks.Locks;
using JobLocks.Primitives;

namespace JobLocks.Postgres.Locks;

/// <content>Releases locks whose handles were garbage-collected. The watch thread does it: a finalizer must not wait for a mutex.</content>
internal sealed partial class LockDispatcher
{
    private LockGrant? _firstCollected;

    void ILockOwner.Collected(LockGrant grant)
    {
        LockGrant? first;
        do
        {
            first = Volatile.Read(ref _firstCollected);
            grant.NextCollected = first;
        }
        while (Interlocked.CompareExchange(ref _firstCollected, grant, first) != first);
    }

    private void ReleaseCollected()
    {
        if (Volatile.Read(ref _firstCollected) is null) return;

        var collected = new List<LockGrant>();
        for (var grant = Interlocked.Exchange(ref _firstCollected, null); grant is not null; grant = grant.NextCollected)
        {
            if (!grant.IsReleased) collected.Add(grant);
        }

        // All locks are released before the first log message, because a logger can throw.
        foreach (var grant in collected)
        {
            // A callback registered on the token may still work under the lock. It is called before another process can acquire the lock.
            grant.DeclareLost(new InvalidOperationException("its handle was dropped without being disposed"));
            grant.Release();
        }

        foreach (var grant in collected)
        {
            _log.HandleCollected(grant.ToString(), grant.Key.Value, DisplayText.Name(grant.Holder.Run ?? "unknown code"), grant.Since, CallerOf(grant.Stack));
        }
    }

    /// <summary>The stack frames of the caller, without the frames of this library at the top.</summary>
    private static string CallerOf(StackTrace? stack)
    {
        if (stack is null) return $"unknown: set {nameof(JobLocksOptions)}.{nameof(JobLocksOptions.CaptureStackOnAcquire)} to see it";

        var callers = stack.GetFrames().SkipWhile(static frame => frame.GetMethod()?.DeclaringType is not { } type
            || type.Assembly == typeof(LockDispatcher).Assembly
            || type.Namespace?.StartsWith("System.", StringComparison.Ordinal) == true);
        return new StackTrace(callers).ToString().Trim();
    }
}
