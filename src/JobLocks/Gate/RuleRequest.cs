using JobLocks.Diagnostics;
using JobLocks.Locks;
using JobLocks.Naming;
using JobLocks.Primitives;
using JobLocks.Rules;

namespace JobLocks.Gate;

/// <summary>One lock that a run needs.</summary>
/// <param name="Name">The lock name, scope included.</param>
/// <param name="Lock">What is asked for.</param>
/// <param name="Rule">The rule that asks for it.</param>
internal sealed record RuleRequest(string Name, LockRequest Lock, LockRule Rule)
{
    public LockKey Key => Lock.Key;

    /// <summary>The lock as metrics and traces show it.</summary>
    public LockLabel Label => new(Rule.Template, Name);

    /// <summary>The name as a log or a record shows it.</summary>
    public string ShownName => DisplayText.Name(Name);

    /// <summary>All that a run needs, each key once, in the order in which they were declared. Of two rules for one key, the stricter counts.</summary>
    /// <exception cref="JobLockRuleException">A name cannot be made for this run.</exception>
    public static IReadOnlyList<RuleRequest> AllOf(JobCall call, string? scope) =>
        [.. call.Rules.Select(rule => Of(rule, call, scope)).GroupBy(static request => request.Key).Select(static same => same.MinBy(Width)!)];

    private static RuleRequest Of(LockRule rule, JobCall call, string? scope)
    {
        var name = LockScope.Apply(scope, rule.NameFor(call));
        return new(name, new(name, rule.KeyFor(name, call), rule.Mode, rule.Limit) { Template = rule.Template }, rule);
    }

    /// <summary>How many it lets in at once.</summary>
    private static int Width(RuleRequest request) => request.Lock.Mode == LockMode.Shared ? int.MaxValue : request.Lock.Limit;
}
