using System.Diagnostics;
using JobLocks.Tests.Support;

namespace JobLocks.Tests.Naming;

[TestFixture]
public sealed class InvariantModeTests
{
    [Test, CancelAfter(60_000)]
    public async Task Gives_the_same_names_in_a_process_without_culture_data(CancellationToken stop)
    {
        var start = new ProcessStartInfo("dotnet") { UseShellExecute = false, RedirectStandardOutput = true };
        foreach (var argument in new[] { "exec", typeof(OtherProcess).Assembly.Location, OtherProcess.PrintNames }) start.ArgumentList.Add(argument);
        start.Environment["DOTNET_SYSTEM_GLOBALIZATION_INVARIANT"] = "1";
        using var process = Process.Start(start)!;

        var names = await process.StandardOutput.ReadToEndAsync(stop);

        Assert.That(names.Trim(), Is.EqualTo(OtherProcess.Names()));
    }
}
