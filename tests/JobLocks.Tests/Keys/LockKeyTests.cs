using System.Text.Json;

namespace JobLocks.Tests.Keys;

[TestFixture]
public sealed class LockKeyTests
{
    private sealed record Vector(string Name, long Key);

    private static IEnumerable<TestCaseData> Vectors()
    {
        var file = File.ReadAllText(Path.Combine(TestContext.CurrentContext.TestDirectory, "Keys", "lock-keys.json"));
        var vectors = JsonSerializer.Deserialize<List<Vector>>(file, JsonSerializerOptions.Web)!;
        return vectors.Select(static (vector, i) => new TestCaseData(vector.Name, vector.Key).SetArgDisplayNames($"#{i}", vector.Key.ToString(System.Globalization.CultureInfo.InvariantCulture)));
    }

    [TestCaseSource(nameof(Vectors))]
    public void Gives_the_number_that_Python_gives(string name, long key) => Assert.That(LockKey.Of(name).Value, Is.EqualTo(key));

    [Test]
    public void Compares_at_least_forty_names_with_Python() => Assert.That(Vectors().Count(), Is.GreaterThanOrEqualTo(40));

    [Test]
    public void Gives_the_known_number_for_the_known_name() => Assert.That(LockKey.Of("sync(4)").ToString(), Is.EqualTo("-672582401413756830"));

    // As numbers: an attribute cannot carry half of a pair.
    [TestCase('a', '\uD83D')]
    [TestCase('\uDE00', 'a')]
    public void Refuses_half_of_a_surrogate_pair(char first, char second)
    {
        string name = new([first, second]);

        var error = Assert.Throws<ArgumentException>(() => LockKey.Of(name));

        Assert.That(error!.Message, Does.Contain("half of a surrogate pair").And.Contain("pass it whole"));
    }

    [Test]
    public void Refuses_an_empty_name() => Assert.Throws<ArgumentException>(static () => LockKey.Of(""));
}
