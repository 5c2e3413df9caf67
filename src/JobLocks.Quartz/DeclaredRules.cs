using System.Collections.Concurrent;
using JobLocks.Naming;
using JobLocks.Rules;
using Quartz;

namespace JobLocks.Quartz;

/// <summary>The rules a run is under: attributes of its class, and <c>WithJobLock</c> on its job and its trigger. Thread-safe.</summary>
internal static class DeclaredRules
{
    private static readonly ConcurrentDictionary<Type, IReadOnlyList<LockRule>> OfTypes = new();

    /// <summary>All of them, attributes first.</summary>
    /// <exception cref="JobLockRuleException">One of them cannot work.</exception>
    public static IReadOnlyList<LockRule> Of(Type type, JobSignature job, JobDataMap ofJob, JobDataMap ofTrigger) =>
        [.. Of(type), .. StoredRules.In(ofJob, job), .. StoredRules.In(ofTrigger, job)];

    /// <summary>The attributes of a class, its base classes and its interfaces. Looked up once.</summary>
    /// <exception cref="JobLockRuleException">One of them cannot work.</exception>
    public static IReadOnlyList<LockRule> Of(Type type) => OfTypes.GetOrAdd(type, static type => Read(type));

    /// <summary>Which job a rule is checked against: its arguments have names only, known when the run begins.</summary>
    public static JobSignature SignatureOf(Type type, JobKey key) =>
        IsDelegate(type) ? new(key.ToString(), Method: null, Parameters: null) : JobSignature.Of(type);

    private static LockRule[] Read(Type type)
    {
        var job = JobSignature.Of(type);
        return [.. type.GetInterfaces().Prepend(type).SelectMany(Attributes).Distinct().Select(declaration => LockRule.For(declaration, job))];
    }

    private static IEnumerable<LockDeclaration> Attributes(Type type) =>
        type.GetCustomAttributes(typeof(JobLockAttribute), inherit: true).Cast<JobLockAttribute>().Select(static found => found.Declaration);

    /// <summary>All jobs that were written as a delegate share one class of Quartz; what tells them apart is their key.</summary>
    private static bool IsDelegate(Type type) =>
        type.Assembly == typeof(IJob).Assembly && string.Equals(type.Name, "DelegateJob", StringComparison.Ordinal);
}
