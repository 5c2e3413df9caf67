using System.Reflection;
using Microsoft.Extensions.Logging;

namespace JobLocks.AspNetCore.Tests;

/// <summary>What the pages log, as the docs list it.</summary>
[TestFixture]
public sealed class LogTests
{
    [Test]
    public void Lists_each_message_in_the_docs_and_no_other()
    {
        var messages =
            from type in typeof(JobLocksPageOptions).Assembly.GetTypes()
            from method in type.GetMethods(BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic)
            from message in method.GetCustomAttributes<LoggerMessageAttribute>()
            select $"| {message.EventId} | {message.Level} | {message.Message} |";

        Assert.That(Docs().Where(static line => line.StartsWith("| 7", StringComparison.Ordinal)), Is.Not.Empty.And.EquivalentTo(messages));
    }

    private static string[] Docs()
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(folder.FullName, "JobLocks.sln"))) folder = folder.Parent!;
        return File.ReadAllLines(Path.Combine(folder.FullName, "docs", "metrics-and-logs.md"));
    }
}
