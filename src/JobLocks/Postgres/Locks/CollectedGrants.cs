using System.Diagnostics;
using JobLocks.Diagnostics;
using JobLocks.Locks;
using JobLocks.Primitives;
using Microsoft.Extensions.Logging;

namespace JobLocks.Postgres.Locks;

/// <summary>
/// Locks whose handles were garbage-collected without being disposed. The finalizer only adds them, because it must not wait for a mutex; the watch thread
/// releases them. A list without a mutex: the grants are its elements. Thread-safe.
/// </summary>
internal sealed class CollectedGrants(ILogger log)
{
    private LockGrant? _first;

    /// <summary>Adds a grant. Called by the finalizer.</summary>
    public void Add(LockGrant grant)
    {
        LockGrant? first;
        do
        {
            first = Volatile.Read(ref _first);
            grant.NextCollected = first;
        }
        while (Interlocked.CompareExchange(ref _first, grant, first) != first);
    }

    /// <summary>Declares the locks lost, releases them, and logs a warning for each.</summary>
    public void ReleaseAll()
    {
        if (Volatile.Read(ref _first) is null) return;

        var collected = new List<LockGrant>();
        for (var grant = Interlocked.Exchange(ref _first, null); grant is not null; grant = grant.NextCollected)
        {
            if (!grant.IsReleased) collected.Add(grant);
        }

        // All locks are released before the first log message, because a logger can throw.
        foreach (var grant in collected)
        {
            // A callback registered on the token may still work under the lock. The cancellation is started before the release, but not awaited.
            grant.DeclareLost(new InvalidOperationException("its handle was dropped without being disposed"));
            grant.Release();
        }

        foreach (var grant in collected)
        {
            log.HandleCollected(grant.ToString(), grant.Key.Value, DisplayText.Name(grant.Holder.Run ?? "unknown code"), grant.Since, CallerOf(grant.Stack));
        }
    }

    /// <summary>The stack frames of the caller, without the frames of this library at the top.</summary>
    private static string CallerOf(StackTrace? stack)
    {
        if (stack is null) return $"unknown: set {nameof(JobLocksOptions)}.{nameof(JobLocksOptions.CaptureStackOnAcquire)} to see it";

        var callers = stack.GetFrames().SkipWhile(static frame => frame.GetMethod()?.DeclaringType is not { } type
            || type.Assembly == typeof(CollectedGrants).Assembly
            || type.Namespace?.StartsWith("System.", StringComparison.Ordinal) == true);
        return new StackTrace(callers).ToString().Trim();
    }
}
