using JobLocks.Gate;

namespace JobLocks;

/// <summary>The locks that a run would request. Computed without a server, for tests and for support. Immutable.</summary>
public sealed class JobLockExplanation
{
    private JobLockExplanation(IReadOnlyList<ExplainedLock> locks) => Locks = locks;

    /// <summary>All locks, in the order of declaration; empty where the job has no <c>[JobLock]</c>.</summary>
    public IReadOnlyList<ExplainedLock> Locks { get; }

    /// <summary>The name of the first lock, scope included.</summary>
    /// <exception cref="InvalidOperationException">The job has no lock.</exception>
    public string Name => First.Name;

    /// <summary>The key of the first lock.</summary>
    /// <exception cref="InvalidOperationException">The job has no lock.</exception>
    public LockKey Key => First.Key;

    /// <summary>The rule of the first lock, as its author wrote it.</summary>
    /// <exception cref="InvalidOperationException">The job has no lock.</exception>
    public string Rule => First.Rule;

    private ExplainedLock First => Locks.Count > 0 ? Locks[0] : throw new InvalidOperationException("The job has no [JobLock], so there is no lock to explain.");

    /// <summary>One text line for each lock: name, key and rule.</summary>
    public override string ToString() => Locks.Count == 0 ? "no lock" : string.Join(Environment.NewLine, Locks);

    /// <exception cref="JobLockRuleException">A rule cannot name the lock of this run.</exception>
    internal static JobLockExplanation Of(JobCall? call, string? scope) =>
        new(call is null ? [] : [.. RuleRequest.AllOf(call, scope).Select(static request => new ExplainedLock(request.Name, request.Key, request.Rule.ToString()))]);
}
