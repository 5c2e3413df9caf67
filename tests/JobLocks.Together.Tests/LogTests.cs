using System.Reflection;
using Microsoft.Extensions.Logging;

namespace JobLocks.Together.Tests;

/// <summary>What is logged, as the docs list it.</summary>
[TestFixture]
public sealed class LogTests
{
    // The package of the pages sees to its own, from 700 on.
    private const char FirstOfPages = '7';

    private static readonly Type[] Packages = [typeof(Hangfire.JobLockAttribute), typeof(Quartz.JobLockAttribute), typeof(AdvisoryLocks)];

    [Test]
    public void Lists_each_message_in_the_docs_and_no_other()
    {
        var described = Docs().Where(static line => line.Length > 5 && line.StartsWith("| ", StringComparison.Ordinal) && line[2] is >= '1' and < FirstOfPages);

        Assert.That(described, Is.EquivalentTo(Messages().Select(static message => $"| {message.EventId} | {message.Level} | {message.Message} |")));
    }

    [Test]
    public void Has_one_message_for_each_id() => Assert.That(Messages().Select(static message => message.EventId), Is.Unique.And.Not.Empty);

    private static IEnumerable<LoggerMessageAttribute> Messages() =>
        from package in Packages
        from type in package.Assembly.GetTypes()
        from method in type.GetMethods(BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic)
        from message in method.GetCustomAttributes<LoggerMessageAttribute>()
        select message;

    private static string[] Docs()
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(folder.FullName, "JobLocks.sln"))) folder = folder.Parent!;
        return File.ReadAllLines(Path.Combine(folder.FullName, "docs", "metrics-and-logs.md"));
    }
}
