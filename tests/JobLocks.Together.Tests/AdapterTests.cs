using System.Reflection;
using System.Reflection.Metadata;
using System.Reflection.PortableExecutable;
using ArchUnitNET.Loader;

namespace JobLocks.Together.Tests;

/// <summary>
/// The adapters know the contracts of the core, and nothing of PostgreSQL in it. So could an adapter for another scheduler. A change of a type in the table
/// may break the packages of other versions.
/// </summary>
[TestFixture]
public sealed class AdapterTests
{
    private const string Hangfire = "JobLocks.Hangfire";
    private const string Quartz = "JobLocks.Quartz";
    private const string Page = "JobLocks.AspNetCore";

    // The internal types of the core that adapters use, without "JobLocks.", and the adapters.
    private static readonly (string Type, string[] Adapters)[] Contracts =
    [
        ("Diagnostics.LockTraces", [Quartz]),
        ("Gate.AddressLookup", [Hangfire, Quartz]),
        ("Gate.Admission", [Hangfire, Quartz]),
        ("Gate.JobCall", [Hangfire, Quartz]),
        ("Gate.JobGate", [Hangfire, Quartz]),
        ("Gate.Queueing", [Hangfire, Quartz]),
        ("Gate.SelfWaits", [Quartz]),
        ("Gate.WorkerShare", [Hangfire, Quartz]),
        ("Inspection.IPageInspector", [Hangfire, Page]),
        ("Inspection.PageReadings", [Hangfire, Page]),
        ("Inspection.Pages.Column", [Hangfire, Page]),
        ("Inspection.Pages.ColumnKind", [Hangfire, Page]),
        ("Inspection.Pages.ICellHtml", [Hangfire, Page]),
        ("Inspection.Pages.ListPart", [Hangfire, Page]),
        ("Inspection.Pages.LockTables", [Hangfire, Page]),
        ("Inspection.Pages.Markup", [Hangfire, Page]),
        ("Inspection.Pages.PageTable", [Hangfire, Page]),
        ("Inspection.Pages.PageTexts", [Hangfire, Page]),
        ("Inspection.Pages.ReadingFailure", [Hangfire, Page]),
        ("Inspection.Pages.SamplesPlot", [Hangfire, Page]),
        ("Inspection.Pages.TimelinePlot", [Hangfire, Page]),
        ("Naming.JobArgument", [Hangfire, Quartz]),
        ("Naming.JobInvocation", [Hangfire, Quartz]),
        ("Naming.JobParameter", [Hangfire, Quartz]),
        ("Naming.JobSignature", [Hangfire, Quartz]),
        ("Primitives.Blocking", [Hangfire]),
        ("Primitives.BootClock", [Hangfire, Quartz]),
        ("Primitives.DisplayText", [Hangfire, Quartz, Page]),
        ("Primitives.LogThrottle", [Page]),
        ("Rules.LockDeclaration", [Hangfire, Quartz]),
        ("Rules.LockRule", [Hangfire, Quartz]),
        ("WaitQueue.OtherStoreIds", [Hangfire, Quartz]),
        ("WaitQueue.IRunStore", [Hangfire, Quartz]),
        ("WaitQueue.ParkedRunState", [Hangfire, Quartz]),
        ("WaitQueue.ParkedRuns", [Hangfire, Quartz]),
        ("WaitQueue.QueueEntry", [Hangfire, Quartz]),
        ("WaitQueue.RunAddress", [Hangfire, Quartz]),
        ("WaitQueue.WaitingRun", [Hangfire, Quartz]),
        ("WaitQueue.WorkerPool", [Hangfire, Quartz]),
    ];

    // AddJobLocks and AdvisoryLocks are public, and so in the namespaces of users.
    private static readonly string[] Hidden = ["JobLocks.Postgres", "JobLocks.Hosting"];

    private static readonly Assembly Core = typeof(IJobLocks).Assembly;

    private static readonly Assembly[] Adapters =
    [
        typeof(JobLocks.Hangfire.JobLockAttribute).Assembly, typeof(JobLocks.Quartz.JobLockAttribute).Assembly, Assembly.LoadFrom(Path.Combine(AppContext.BaseDirectory, $"{Page}.dll")),
    ];

    [TestCaseSource(nameof(Adapters))]
    public void Use_no_internal_type_of_the_core_that_knows_PostgreSQL(Assembly adapter)
    {
        var used = UsedBy(adapter);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(used.Where(static type => Hidden.Any(hidden => type.StartsWith($"{hidden}.", StringComparison.Ordinal))), Is.Empty);
            Assert.That(used, Is.Not.Empty, "uses were found at all");
        }
    }

    [TestCaseSource(nameof(Adapters))]
    public void Use_those_internal_types_of_the_core_that_are_in_the_table_and_no_other(Assembly adapter)
    {
        var expected = Contracts.Where(row => row.Adapters.Contains(adapter.GetName().Name, StringComparer.Ordinal)).Select(static row => $"JobLocks.{row.Type}").ToList();
        var used = UsedBy(adapter).Where(static type => Core.GetTypes().Any(one => one is { IsNested: false, IsPublic: false } && NameOf(one.FullName!).Equals(type, StringComparison.Ordinal))).ToList();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(string.Join('\n', used.Except(expected, StringComparer.Ordinal).Select(type => $"{UsersOf(type, adapter)} uses {type}")), Is.Empty);
            Assert.That(string.Join('\n', expected.Except(used, StringComparer.Ordinal).Select(type => $"{adapter.GetName().Name} does not use {type}")), Is.Empty);
        }
    }

    /// <summary>The types of the core to which an assembly refers, also in the signatures of members that it calls.</summary>
    private static IReadOnlyList<string> UsedBy(Assembly adapter)
    {
        using var image = new PEReader(File.OpenRead(adapter.Location));
        var metadata = image.GetMetadataReader();
        return
        [
            .. from handle in metadata.TypeReferences
               let type = metadata.GetTypeReference(handle)
               where type.ResolutionScope.Kind == HandleKind.AssemblyReference
               where metadata.StringComparer.Equals(metadata.GetAssemblyReference((AssemblyReferenceHandle)type.ResolutionScope).Name, Core.GetName().Name!)
               select NameOf($"{metadata.GetString(type.Namespace)}.{metadata.GetString(type.Name)}"),
        ];
    }

    /// <summary>The types of an adapter that use a type of the core; the adapter, where only a member that it calls does.</summary>
    private static string UsersOf(string type, Assembly adapter)
    {
        var name = adapter.GetName().Name!;
        var users = new ArchLoader().LoadAssemblies(Core, adapter).Build().Types
            .Where(user => user.Assembly.Name.Split(',')[0].Equals(name, StringComparison.Ordinal) && user.Dependencies.Any(dependency => NameOf(dependency.Target.FullName).Equals(type, StringComparison.Ordinal)))
            .Select(static user => NameOf(user.FullName))
            .Distinct(StringComparer.Ordinal);
        return string.Join(", ", users.DefaultIfEmpty(name));
    }

    /// <summary>The name of the outermost type, without type parameters.</summary>
    private static string NameOf(string fullName) => fullName.Split('/', '+', '`', '<')[0];
}
