using System.Reflection;
using Microsoft.Extensions.Logging;

namespace JobLocks.Tests.Inspection;

/// <summary>What is logged, as the docs list it.</summary>
[TestFixture]
public sealed class LogTests
{
    [Test]
    public void Lists_each_message_of_the_core_in_the_docs()
    {
        var described = DocsTests.Read("metrics-and-logs.md").Split('\n').ToHashSet(StringComparer.Ordinal);

        var missing = Messages().Select(static message => $"| {message.EventId} | {message.Level} | {message.Message} |").Where(line => !described.Contains(line));

        Assert.That(missing, Is.Empty);
    }

    [Test]
    public void Has_one_message_for_each_id() => Assert.That(Messages().Select(static message => message.EventId), Is.Unique.And.Not.Empty);

    private static IEnumerable<LoggerMessageAttribute> Messages() =>
        from type in typeof(AdvisoryLocks).Assembly.GetTypes()
        from method in type.GetMethods(BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic)
        from message in method.GetCustomAttributes<LoggerMessageAttribute>()
        select message;
}
