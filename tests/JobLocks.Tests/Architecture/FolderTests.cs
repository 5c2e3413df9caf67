using ArchUnitNET.Domain;
using ArchUnitNET.Loader;

namespace JobLocks.Tests.Architecture;

/// <summary>The folders of the core use each other in one direction. A type belongs to the folder of the file with its name.</summary>
[TestFixture]
public sealed class FolderTests
{
    private const string Face = "(root)";

    // Each folder, and the folders that it may use. They stand above it.
    private static readonly (string Folder, string[] Uses)[] Allowed =
    [
        ("Primitives", []),
        ("Keys", []),
        ("Naming", ["Primitives"]),
        ("Rules", ["Primitives", "Keys", "Naming"]),
        ("Locks", ["Primitives", "Keys", "Rules"]),
        ("WaitQueue", ["Primitives", "Keys", "Rules", "Locks"]),
        ("Diagnostics", ["Primitives", "Keys"]),
        ("Inspection", ["Primitives", "Keys", "Rules", "Locks"]),
        (Face, ["Primitives", "Keys", "Rules", "Locks"]),
        ("Gate", ["Primitives", "Keys", "Naming", "Rules", "Locks", "WaitQueue", "Diagnostics", "Inspection", Face]),
        ("Postgres", ["Primitives", "Keys", "Naming", "Rules", "Locks", "WaitQueue", "Diagnostics", "Inspection", Face, "Gate"]),
        ("InMemory", ["Primitives", "Keys", "Naming", "Rules", "Locks", "WaitQueue", "Diagnostics", "Inspection", Face, "Gate"]),
        ("Hosting", ["Primitives", "Locks", "Inspection", Face, "Gate", "Postgres"]),
    ];

    private static readonly Dictionary<string, string> FolderOf = FoldersByType();

    [Test]
    public void Use_only_the_folders_that_the_table_allows()
    {
        var core = typeof(IJobLocks).Assembly;
        var architecture = new ArchLoader().LoadAssemblies(core).Build();
        var arrows = architecture.Types
            .Where(type => FolderOf.ContainsKey(Outermost(type)))
            .SelectMany(static type => type.Dependencies.Select(dependency => (From: Outermost(type), To: Outermost(dependency.Target))))
            .Where(static arrow => FolderOf.ContainsKey(arrow.To))
            .Distinct()
            .ToList();
        var uses = Allowed.ToDictionary(static folder => folder.Folder, static folder => folder.Uses.Append(folder.Folder).ToHashSet(StringComparer.Ordinal), StringComparer.Ordinal);

        var forbidden = arrows.Where(arrow => !uses[FolderOf[arrow.From]].Contains(FolderOf[arrow.To])).Select(static arrow => $"{FolderOf[arrow.From]}/{arrow.From} uses {FolderOf[arrow.To]}/{arrow.To}");

        using (Assert.EnterMultipleScope())
        {
            Assert.That(forbidden, Is.Empty);
            Assert.That(arrows.Select(static arrow => FolderOf[arrow.From]).Distinct(StringComparer.Ordinal), Is.SupersetOf((string[])["Gate", "Postgres", "WaitQueue"]), "arrows were found at all");
        }
    }

    [Test]
    public void Use_the_driver_in_memory_only_where_the_interface_names_it()
    {
        var architecture = new ArchLoader().LoadAssemblies(typeof(IJobLocks).Assembly).Build();

        var users = architecture.Types
            .Where(static type => FolderOf.TryGetValue(Outermost(type), out var folder) && string.Equals(folder, "InMemory", StringComparison.Ordinal))
            .Where(static type => type.Dependencies.Any(static dependency => dependency.Target.FullName.StartsWith("Npgsql.", StringComparison.Ordinal)))
            .Select(Outermost)
            .Distinct(StringComparer.Ordinal);

        Assert.That(users, Is.EqualTo(["InMemoryLocks"]), "an overload of IJobLocks has a transaction of the driver");
    }

    [Test]
    public void Are_all_in_the_table() =>
        Assert.That(FolderOf.Values.Distinct(StringComparer.Ordinal), Is.EquivalentTo(Allowed.Select(static folder => folder.Folder)));

    [Test]
    public void Form_no_circle()
    {
        var above = new HashSet<string>(StringComparer.Ordinal);
        foreach (var (folder, uses) in Allowed)
        {
            Assert.That(uses, Is.SubsetOf(above), folder);
            above.Add(folder);
        }
    }

    private static string Outermost(IType type)
    {
        var name = type.FullName.Split('/', '+')[0];
        return name[(name.LastIndexOf('.') + 1)..].Split('`', '<')[0];
    }

    private static Dictionary<string, string> FoldersByType()
    {
        var core = Path.Combine(Repository.Root, "src", "JobLocks");
        return Directory.EnumerateFiles(core, "*.cs", SearchOption.AllDirectories)
            .Select(file => (Type: Path.GetFileName(file).Split('.')[0], Path: Path.GetRelativePath(core, file).Split(Path.DirectorySeparatorChar)))
            .Where(static file => file.Path[0] is not ("bin" or "obj"))
            .DistinctBy(static file => file.Type, StringComparer.Ordinal)
            .ToDictionary(static file => file.Type, static file => file.Path.Length == 1 ? Face : file.Path[0], StringComparer.Ordinal);
    }
}
