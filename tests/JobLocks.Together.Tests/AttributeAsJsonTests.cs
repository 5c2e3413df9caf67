using Hangfire.Common;
using Newtonsoft.Json;
using Attribute = JobLocks.Quartz.JobLockAttribute;

namespace JobLocks.Together.Tests;

/// <summary>The attribute for Quartz, kept as JSON by the serializer that Hangfire brings along.</summary>
[TestFixture]
public sealed class AttributeAsJsonTests
{
    private static readonly Attribute[] Attributes = [new(), new("sync({clientId})"), new("sync") { Limit = 4, OnConflict = OnConflict.Skip, RetryAfterSeconds = 3, KeepNewest = true }];

    [Test]
    public void Comes_back_whole_from_Hangfires_serializer([Values] SerializationOption option)
    {
        foreach (var attribute in Attributes)
            Assert.That(SerializationHelper.Deserialize<Attribute>(SerializationHelper.Serialize(attribute, option), option), Is.EqualTo(attribute));
    }

    [Test]
    public void Comes_back_whole_from_Newtonsoft()
    {
        foreach (var attribute in Attributes)
            Assert.That(JsonConvert.DeserializeObject<Attribute>(JsonConvert.SerializeObject(attribute)), Is.EqualTo(attribute));
    }

    [Test]
    public void Is_refused_without_its_name() =>
        Assert.That(Assert.Catch(static () => JsonConvert.DeserializeObject<Attribute>("{}"))!.GetBaseException(), Is.TypeOf<JobLockRuleException>());
}
