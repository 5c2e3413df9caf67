using System.Diagnostics;
using JobLocks.Chaos;

namespace JobLocks.Together.Tests;

/// <summary>The short form of the random histories; for a long one, run the program by itself.</summary>
[Category("Long")]
[TestFixture]
public sealed class RandomHistoryTests
{
    [TestCase("--calm"), TestCase(null), CancelAfter(300_000)]
    public async Task Has_no_overlap_no_lost_run_and_nothing_left(string? calm, CancellationToken stop)
    {
        var start = new ProcessStartInfo("dotnet") { UseShellExecute = false, RedirectStandardOutput = true, RedirectStandardError = true };
        string?[] arguments = [typeof(Checker).Assembly.Location, "--seconds", "5", "--processes", "2", calm];
        foreach (var argument in arguments.OfType<string>()) start.ArgumentList.Add(argument);
        using var story = Process.Start(start)!;
        var said = story.StandardOutput.ReadToEndAsync(stop);
        var complained = story.StandardError.ReadToEndAsync(stop);
        await story.WaitForExitAsync(stop);
        await TestContext.Out.WriteLineAsync(await said + await complained);

        Assert.That(story.ExitCode, Is.Zero, await said);
    }
}
