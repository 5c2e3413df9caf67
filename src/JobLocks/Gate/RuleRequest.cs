using JobLocks.Diagnostics;
using JobLocks.Locks;
using JobLocks.Naming;
using JobLocks.Primitives;
using JobLocks.Rules;

namespace JobLocks.Gate;

/// <summary>One lock that a run needs, with the rule that requests it.</summary>
/// <param name="Name">The lock name, scope included.</param>
/// <param name="Lock">The lock request.</param>
/// <param name="Rule">The rule that requests the lock.</param>
internal sealed record RuleRequest(string Name, LockRequest Lock, LockRule Rule)
{
    public LockKey Key => Lock.Key;

    /// <summary>The lock as metrics and traces show it.</summary>
    public LockLabel Label => new(Rule.Template, Name);

    /// <summary>The name, shortened for logs and records.</summary>
    public string ShownName => DisplayText.Name(Name);

    /// <summary>All locks that a run needs, each key once, in the order of declaration. Of two rules for one key, the stricter one counts.</summary>
    /// <exception cref="JobLockRuleException">A lock name cannot be built for this run.</exception>
    public static IReadOnlyList<RuleRequest> AllOf(JobCall call, string? scope) =>
        [.. call.Rules.Select(rule => Of(rule, call, scope)).GroupBy(static request => request.Key).Select(static sameKey => sameKey.MinBy(MaxHolders)!)];

    private static RuleRequest Of(LockRule rule, JobCall call, string? scope)
    {
        var name = LockScope.Apply(scope, rule.NameFor(call));
        return new(name, new(name, rule.KeyFor(name, call), rule.Mode, rule.Limit) { Template = rule.Template }, rule);
    }

    /// <summary>How many runs can hold the lock at once.</summary>
    private static int MaxHolders(RuleRequest request) => request.Lock.Mode == LockMode.Shared ? int.MaxValue : request.Lock.Limit;
}
