using ArchUnitNET.Domain;
using ArchUnitNET.Loader;

namespace JobLocks.Tests.Architecture;

/// <summary>The folders of the core use each other in one direction. A type belongs to the folder of the file with its name.</summary>
[TestFixture]
public sealed class RoomTests
{
    private const string Face = "(root)";

    // Each folder, and the folders that it may use. They stand above it.
    private static readonly (string Room, string[] Uses)[] Allowed =
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

    private static readonly Dictionary<string, string> RoomOf = Rooms();

    [Test]
    public void Use_only_the_rooms_that_the_table_allows()
    {
        var core = typeof(IJobLocks).Assembly;
        var architecture = new ArchLoader().LoadAssemblies(core).Build();
        var arrows = architecture.Types
            .Where(type => RoomOf.ContainsKey(Outermost(type)))
            .SelectMany(static type => type.Dependencies.Select(dependency => (From: Outermost(type), To: Outermost(dependency.Target))))
            .Where(static arrow => RoomOf.ContainsKey(arrow.To))
            .Distinct()
            .ToList();
        var uses = Allowed.ToDictionary(static room => room.Room, static room => room.Uses.Append(room.Room).ToHashSet(StringComparer.Ordinal), StringComparer.Ordinal);

        var forbidden = arrows.Where(arrow => !uses[RoomOf[arrow.From]].Contains(RoomOf[arrow.To])).Select(static arrow => $"{RoomOf[arrow.From]}/{arrow.From} uses {RoomOf[arrow.To]}/{arrow.To}");

        using (Assert.EnterMultipleScope())
        {
            Assert.That(forbidden, Is.Empty);
            Assert.That(arrows.Select(static arrow => RoomOf[arrow.From]).Distinct(StringComparer.Ordinal), Is.SupersetOf((string[])["Gate", "Postgres", "WaitQueue"]), "arrows were found at all");
        }
    }

    [Test]
    public void Use_the_driver_in_memory_only_where_the_interface_names_it()
    {
        var architecture = new ArchLoader().LoadAssemblies(typeof(IJobLocks).Assembly).Build();

        var users = architecture.Types
            .Where(static type => RoomOf.TryGetValue(Outermost(type), out var room) && string.Equals(room, "InMemory", StringComparison.Ordinal))
            .Where(static type => type.Dependencies.Any(static dependency => dependency.Target.FullName.StartsWith("Npgsql.", StringComparison.Ordinal)))
            .Select(Outermost)
            .Distinct(StringComparer.Ordinal);

        Assert.That(users, Is.EqualTo(["InMemoryLocks"]), "an overload of IJobLocks has a transaction of the driver");
    }

    [Test]
    public void Are_all_in_the_table() =>
        Assert.That(RoomOf.Values.Distinct(StringComparer.Ordinal), Is.EquivalentTo(Allowed.Select(static room => room.Room)));

    [Test]
    public void Form_no_circle()
    {
        var above = new HashSet<string>(StringComparer.Ordinal);
        foreach (var (room, uses) in Allowed)
        {
            Assert.That(uses, Is.SubsetOf(above), room);
            above.Add(room);
        }
    }

    private static string Outermost(IType type)
    {
        var name = type.FullName.Split('/', '+')[0];
        return name[(name.LastIndexOf('.') + 1)..].Split('`', '<')[0];
    }

    private static Dictionary<string, string> Rooms()
    {
        var core = Path.Combine(Repository.Root, "src", "JobLocks");
        return Directory.EnumerateFiles(core, "*.cs", SearchOption.AllDirectories)
            .Select(file => (Type: Path.GetFileName(file).Split('.')[0], Folders: Path.GetRelativePath(core, file).Split(Path.DirectorySeparatorChar)))
            .Where(static file => file.Folders[0] is not ("bin" or "obj"))
            .DistinctBy(static file => file.Type, StringComparer.Ordinal)
            .ToDictionary(static file => file.Type, static file => file.Folders.Length == 1 ? Face : file.Folders[0], StringComparer.Ordinal);
    }
}
