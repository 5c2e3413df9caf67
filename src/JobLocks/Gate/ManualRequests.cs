using System.Diagnostics;
using System.Globalization;
using JobLocks.Locks;
using JobLocks.Naming;

namespace JobLocks.Gate;

/// <summary>Checks what code requests by hand, and describes that code as a holder. The same for every lock backend. Thread-safe.</summary>
internal sealed class ManualRequests(JobLocksOptions options)
{
    /// <summary>The holder that is shown for code that acquires a lock by hand.</summary>
    public Holder Caller { get; } = new() { Run = "code that acquired it by hand", Application = options.ApplicationName };

    /// <summary>The mode, if it is one.</summary>
    /// <exception cref="ArgumentOutOfRangeException">It is not.</exception>
    public static LockMode Validated(LockMode mode) =>
        Enum.IsDefined(mode) ? mode : throw new ArgumentOutOfRangeException(nameof(mode), mode, $"Use one of {string.Join(", ", Enum.GetNames<LockMode>())}.");

    /// <summary>Checks how long a caller wants to wait.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The time is negative or exceeds 24 days.</exception>
    public static void CheckTimeout(TimeSpan timeout)
    {
        if ((timeout < TimeSpan.Zero && timeout != Timeout.InfiniteTimeSpan) || timeout.TotalMilliseconds > int.MaxValue)
            throw new ArgumentOutOfRangeException(nameof(timeout), timeout, "A lock can be waited for from zero to 24 days. Use Timeout.InfiniteTimeSpan to wait without limit.");
    }

    /// <summary>The error for a caller whose time is over.</summary>
    public static TimeoutException TimedOut(LockRequest request, TimeSpan timeout, Holder? holder) => new(
        $"{request} was not free within {timeout.TotalSeconds.ToString("0.###", CultureInfo.InvariantCulture)} s. "
        + (holder is null ? "Its holder is not known: the lock was released meanwhile, or runs wait for it." : $"It is held by {holder}."));

    /// <summary>The request for one name, with the scope.</summary>
    /// <exception cref="ArgumentException">The name is empty, or contains half of a surrogate pair.</exception>
    public LockRequest For(string name, LockMode mode = LockMode.Exclusive)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(name);

        var scoped = LockScope.Apply(options.Scope, name);
        return new(scoped, LockKey.Of(scoped), Validated(mode));
    }

    /// <summary>The requests for several names.</summary>
    /// <exception cref="ArgumentException">There is no name, or one of them is not valid.</exception>
    public LockRequest[] ForAll(IEnumerable<string> names)
    {
        ArgumentNullException.ThrowIfNull(names);

        LockRequest[] requests = [.. names.Select(name => For(name))];
        return requests.Length > 0 ? requests : throw new ArgumentException("There is no name whose lock could be acquired.", nameof(names));
    }

    /// <summary>The stack of the caller. For a run of a scheduler there is none: the name of the run says more.</summary>
    public StackTrace? StackOf(Holder holder) =>
        options.CaptureStackOnAcquire && string.Equals(holder.Run, Caller.Run, StringComparison.Ordinal) ? new(fNeedFileInfo: true) : null;
}
