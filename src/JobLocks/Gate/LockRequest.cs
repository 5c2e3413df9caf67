using JobLocks.Naming;
using JobLocks.Rules;

namespace JobLocks.Gate;

/// <summary>One lock that a run needs.</summary>
/// <param name="Name">The lock name, scope included.</param>
/// <param name="Key">Its key.</param>
/// <param name="Rule">The rule that asks for it.</param>
internal sealed record LockRequest(string Name, LockKey Key, LockRule Rule)
{
    /// <summary>All that a run needs, each key once, in the order in which they were declared.</summary>
    /// <exception cref="JobLockRuleException">A name cannot be made for this run.</exception>
    public static IReadOnlyList<LockRequest> AllOf(JobCall call, string? scope) =>
        [.. call.Rules.Select(rule => Of(rule, call, scope)).DistinctBy(static request => request.Key)];

    private static LockRequest Of(LockRule rule, JobCall call, string? scope)
    {
        var name = LockScope.Apply(scope, rule.NameFor(call));
        return new(name, rule.KeyFor(name, call), rule);
    }
}
