using System.Text.Json;
using System.Text.Json.Serialization;

namespace JobLocks.Quartz.Tests;

/// <summary>An attribute that is kept as JSON takes the same lock as before.</summary>
[TestFixture]
public sealed class AttributeAsJsonTests
{
    private static readonly JsonSerializerOptions Sparse = new() { DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull };

    [Test]
    public void Comes_back_whole([Values] bool isSparse)
    {
        JobLockAttribute[] attributes =
        [
            new(),
            new("sync({clientId})"),
            new(""),
            new("sync") { OnConflict = OnConflict.Skip, WaitAtMostSeconds = 7, KeepWaiting = 2, KeepNewest = true, RetryAfterSeconds = 3, Mode = LockMode.Shared, Limit = 4 },
        ];

        foreach (var attribute in attributes)
        {
            var back = JsonSerializer.Deserialize<JobLockAttribute>(JsonSerializer.Serialize(attribute, isSparse ? Sparse : null), isSparse ? Sparse : null)!;

            Assert.That(back, Is.EqualTo(attribute));
            Assert.That(back.Declaration, Is.EqualTo(attribute.Declaration));
        }
    }

    [Test]
    public void Is_refused_without_its_name()
    {
        var json = JsonSerializer.Serialize(new JobLockAttribute("sync")).Replace("\"Name\"", "\"Lost\"", StringComparison.Ordinal);

        var error = Assert.Throws<JobLockRuleException>(() => JsonSerializer.Deserialize<JobLockAttribute>(json));

        Assert.That(error!.Message, Does.Contain("without its Name").And.Contains("Add \"Name\": \"…\" to the JSON"));
    }
}
