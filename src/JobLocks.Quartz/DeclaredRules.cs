using System.Collections.Concurrent;
using JobLocks.Naming;
using JobLocks.Rules;
using Quartz;

namespace JobLocks.Quartz;

/// <summary>Finds the rules of a run: the attributes of its class, and <c>WithJobLock</c> on its job and its trigger. Thread-safe.</summary>
internal static class DeclaredRules
{
    private static readonly ConcurrentDictionary<Type, IReadOnlyList<LockRule>> OfTypes = new();

    /// <summary>All rules of a run, attributes first.</summary>
    /// <exception cref="JobLockRuleException">A rule is invalid.</exception>
    public static IReadOnlyList<LockRule> Of(Type type, JobSignature job, JobDataMap jobData, JobDataMap triggerData) =>
        [.. Of(type), .. StoredRules.In(jobData, job), .. StoredRules.In(triggerData, job)];

    /// <summary>The rules of the attributes of a class, its base classes and its interfaces. They are read once for each class.</summary>
    /// <exception cref="JobLockRuleException">A rule is invalid.</exception>
    public static IReadOnlyList<LockRule> Of(Type type) => OfTypes.GetOrAdd(type, static type => Read(type));

    /// <summary>The signature against which a rule is checked. It has no parameters: the names of the arguments are known only when the run begins.</summary>
    public static JobSignature SignatureOf(Type type, JobKey key) =>
        IsDelegate(type) ? new(key.ToString(), Method: null, Parameters: null) : JobSignature.Of(type);

    private static LockRule[] Read(Type type)
    {
        var job = JobSignature.Of(type);
        return [.. type.GetInterfaces().Prepend(type).SelectMany(Attributes).Distinct().Select(declaration => LockRule.For(declaration, job))];
    }

    private static IEnumerable<LockDeclaration> Attributes(Type type) =>
        type.GetCustomAttributes(typeof(JobLockAttribute), inherit: true).Cast<JobLockAttribute>().Select(static attribute => attribute.Declaration);

    /// <summary>Whether the job was declared as a delegate. All such jobs share one class of Quartz, and only their keys differ.</summary>
    private static bool IsDelegate(Type type) =>
        type.Assembly == typeof(IJob).Assembly && string.Equals(type.Name, "DelegateJob", StringComparison.Ordinal);
}
