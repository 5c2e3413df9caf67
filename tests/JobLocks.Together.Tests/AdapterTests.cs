using ArchUnitNET.Loader;
using JobLocks.Hangfire;

namespace JobLocks.Together.Tests;

/// <summary>The adapters know the contracts of the core, and nothing of PostgreSQL in it. So could an adapter for another scheduler.</summary>
[TestFixture]
public sealed class AdapterTests
{
    private static readonly System.Reflection.Assembly[] Adapters = [typeof(JobLocksGlobalConfigurationExtensions).Assembly, typeof(JobLocks.Quartz.JobLockAttribute).Assembly];

    // AddJobLocks and AdvisoryLocks are public, and so in the namespaces of users.
    private static readonly string[] Hidden = ["JobLocks.Postgres", "JobLocks.Hosting"];

    [TestCaseSource(nameof(Adapters))]
    public void Use_no_internal_type_of_the_core_that_knows_PostgreSQL(System.Reflection.Assembly adapter)
    {
        var types = new ArchLoader().LoadAssemblies(adapter, typeof(IJobLocks).Assembly).Build().Types.Where(type => type.Assembly.Name.Split(',')[0].Equals(adapter.GetName().Name, StringComparison.Ordinal)).ToList();
        var used = types.SelectMany(static type => type.Dependencies.Select(dependency => $"{type.FullName} uses {dependency.Target.FullName}"));

        using (Assert.EnterMultipleScope())
        {
            Assert.That(used.Where(static arrow => Hidden.Any(hidden => arrow.Contains($"uses {hidden}.", StringComparison.Ordinal))), Is.Empty);
            Assert.That(used, Has.Some.Contain("uses JobLocks.Gate.JobGate"), "uses were found at all");
        }
    }
}
