using System.Text.Json;
using Hangfire.Common;
using Newtonsoft.Json;

namespace JobLocks.Hangfire.Tests;

/// <summary>An attribute that is kept as JSON, as applications do that keep their job filters in a storage, takes the same lock as before.</summary>
[TestFixture]
public sealed class AttributeAsJsonTests
{
    private static readonly JsonSerializerSettings Sparse = new() { NullValueHandling = NullValueHandling.Ignore, DefaultValueHandling = DefaultValueHandling.IgnoreAndPopulate };
    private static readonly JsonSerializerSettings Typed = new() { TypeNameHandling = TypeNameHandling.All };
    private static readonly JsonSerializerOptions SparseOptions = new() { DefaultIgnoreCondition = System.Text.Json.Serialization.JsonIgnoreCondition.WhenWritingNull };

    private static IEnumerable<TestCaseData> Ways()
    {
        foreach (var option in Enum.GetValues<SerializationOption>())
            yield return Way($"Hangfire {option}", attribute => SerializationHelper.Serialize(attribute, option), json => SerializationHelper.Deserialize<JobLockAttribute>(json, option));
        yield return Way("Newtonsoft", static attribute => JsonConvert.SerializeObject(attribute), static json => JsonConvert.DeserializeObject<JobLockAttribute>(json)!);
        yield return Way("Newtonsoft without defaults", static attribute => JsonConvert.SerializeObject(attribute, Sparse), static json => JsonConvert.DeserializeObject<JobLockAttribute>(json, Sparse)!);
        yield return Way("Newtonsoft as a filter", static attribute => JsonConvert.SerializeObject((object)attribute, Typed), static json => (JobLockAttribute)JsonConvert.DeserializeObject<JobFilterAttribute>(json, Typed)!);
        yield return Way("System.Text.Json", static attribute => System.Text.Json.JsonSerializer.Serialize(attribute), static json => System.Text.Json.JsonSerializer.Deserialize<JobLockAttribute>(json)!);
        yield return Way(
            "System.Text.Json without nulls",
            static attribute => System.Text.Json.JsonSerializer.Serialize(attribute, SparseOptions),
            static json => System.Text.Json.JsonSerializer.Deserialize<JobLockAttribute>(json, SparseOptions)!);
    }

    [TestCaseSource(nameof(Ways))]
    public void Comes_back_whole(Func<JobLockAttribute, string> write, Func<string, JobLockAttribute> read)
    {
        JobLockAttribute[] attributes =
        [
            new(),
            new("sync({clientId})"),
            new(""),
            new("sync")
            {
                OnConflict = OnConflict.Skip, WaitAtMostSeconds = 7, KeepWaiting = 2, KeepNewest = true, RetryAfterSeconds = 3, Mode = LockMode.Shared, Limit = 4, Order = 5,
            },
        ];

        foreach (var attribute in attributes)
        {
            var back = read(write(attribute));

            Assert.That(back, Is.EqualTo(attribute));
            Assert.That(back.Declaration, Is.EqualTo(attribute.Declaration));
            Assert.That(back.Order, Is.EqualTo(attribute.Order));
        }
    }

    [TestCaseSource(nameof(Ways))]
    public void Is_refused_without_its_name(Func<JobLockAttribute, string> write, Func<string, JobLockAttribute> read)
    {
        var json = write(new("sync({clientId})")).Replace("\"Name\"", "\"Lost\"", StringComparison.Ordinal);

        var error = Assert.Catch(() => read(json));

        Assert.That(error!.GetBaseException(), Is.TypeOf<JobLockRuleException>());
        Assert.That(error.GetBaseException().Message, Does.Contain("without its Name").And.Contains("Add \"Name\": \"…\" to the JSON"));
    }

    [Test]
    public void Has_its_name_to_look_at() => Assert.That((new JobLockAttribute("sync").Name, new JobLockAttribute().Name), Is.EqualTo(("sync", (string?)null)));

    private static TestCaseData Way(string name, Func<JobLockAttribute, string> write, Func<string, JobLockAttribute> read) => new TestCaseData(write, read).SetArgDisplayNames(name);
}
