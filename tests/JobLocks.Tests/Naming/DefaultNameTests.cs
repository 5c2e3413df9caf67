using JobLocks.Naming;
using JobLocks.Tests.Support;

namespace JobLocks.Tests.Naming;

[TestFixture]
public sealed class DefaultNameTests
{
    private sealed record Order(int Id, decimal Price, string[] Tags);

    private sealed class Importer<T>
    {
        public T? Last { get; init; }
    }

    private static readonly int[] Numbers = [1, 2];
    private static readonly string[] Tags = ["x", "a b"];

    [Test]
    public void Is_the_type_the_method_and_the_arguments() =>
        Assert.That(Calls.NameOf(null, ("clientId", 4), ("note", "a b"), ("none", null)), Is.EqualTo("JobLocks.Tests.Support.ClientSync.Run(4,\"a b\",null)"));

    [Test]
    public void Sorts_arguments_that_have_names_only() =>
        Assert.That(Calls.NameOfNamed(null, ("region", "eu"), ("clientId", 4)), Is.EqualTo("JobLocks.Tests.Support.ClientSync(clientId:4,region:eu)"));

    [Test]
    public void Leaves_plumbing_out() =>
        Assert.That(Calls.NameOf(null, ("clientId", 4), ("stop", CancellationToken.None)), Is.EqualTo("JobLocks.Tests.Support.ClientSync.Run(4)"));

    [Test]
    public void Writes_an_object_with_sorted_properties() =>
        Assert.That(Calls.NameOf(null, ("order", new Order(7, 1.10m, Tags))), Is.EqualTo("JobLocks.Tests.Support.ClientSync.Run({Id:7,Price:1.1,Tags:[x,\"a b\"]})"));

    [Test]
    public void Names_no_assembly_of_a_generic_type()
    {
        var job = JobSignature.Of(typeof(Importer<Order>), "Import", []);

        var call = Calls.Call(job, null);

        Assert.That(call.Rules[0].NameFor(call), Is.EqualTo("JobLocks.Tests.Naming.DefaultNameTests+Importer`1[JobLocks.Tests.Naming.DefaultNameTests+Order].Import()"));
    }

    [TestCase(1.10, 1.1f)]
    [TestCase(2.0, 2)]
    [TestCase(2, 2L)]
    [TestCase(0.0, -0.0)]
    [TestCase(5e9, 5_000_000_000L)]
    [TestCase(1e300, 1e300)]
    public void Writes_equal_numbers_alike(object one, object other) => Assert.That(Calls.NameOf(null, ("v", one)), Is.EqualTo(Calls.NameOf(null, ("v", other))));

    [Test]
    public void Does_not_confuse_arguments_by_their_separators() =>
        Assert.That(Calls.NameOf(null, ("a", "1,2"), ("b", "3")), Is.Not.EqualTo(Calls.NameOf(null, ("a", "1"), ("b", "2,3"))));

    [Test]
    public void Does_not_confuse_a_list_with_the_text_that_looks_like_it() =>
        Assert.That(Calls.NameOf(null, ("a", Numbers)), Is.Not.EqualTo(Calls.NameOf(null, ("a", "[1,2]"))));

    [Test]
    public void Does_not_confuse_a_key_with_the_value_behind_it() =>
        Assert.That(
            Calls.NameOf(null, ("a", new Dictionary<string, object>(StringComparer.Ordinal) { ["12:30:45"] = 10 })),
            Is.Not.EqualTo(Calls.NameOf(null, ("a", new Dictionary<string, object>(StringComparer.Ordinal) { ["12"] = "30:45:10" }))));

    [Test]
    public void Holds_a_text_of_ten_thousand_characters() =>
        Assert.That(LockKey.Of(Calls.NameOf(null, ("a", new string('x', 10_000)))), Is.Not.EqualTo(LockKey.Of(Calls.NameOf(null, ("a", new string('x', 10_001))))));
}
