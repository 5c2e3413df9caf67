using System.Diagnostics;
using System.Text.RegularExpressions;

namespace JobLocks.Samples.Tests;

/// <summary>The sample as a user starts it, in a process of its own.</summary>
internal sealed partial class SampleRun : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(3);

    private readonly Process _process;
    private readonly TaskCompletionSource<IReadOnlyList<int>> _servers = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _stays = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly List<Uri> _addresses = [];
    private readonly Task<string> _errors;
    private readonly Task<string> _output;

    private SampleRun(Process process)
    {
        _process = process;
        _errors = process.StandardError.ReadToEndAsync();
        _output = ReadOutputAsync();
    }

    /// <summary>The process ids of its servers, once they are up.</summary>
    public Task<IReadOnlyList<int>> Servers => _servers.Task;

    /// <summary>Ends when its work is done and it only stays for its dashboards; fails when it ends before.</summary>
    public Task Stays => _stays.Task;

    /// <summary>Where to look, once it <see cref="Stays"/>.</summary>
    public IReadOnlyList<Uri> Addresses => _addresses;

    public static SampleRun Start(string connectionString, params string[] arguments)
    {
        var start = new ProcessStartInfo("dotnet") { UseShellExecute = false, RedirectStandardOutput = true, RedirectStandardError = true, RedirectStandardInput = true };
        start.Environment["JOBLOCKS_POSTGRES"] = connectionString;
        start.ArgumentList.Add(SampleAssembly());
        foreach (var argument in arguments) start.ArgumentList.Add(argument);
        return new(Process.Start(start)!);
    }

    public async Task<(int ExitCode, string Output, string Errors)> EndAsync(CancellationToken stop)
    {
        await _process.WaitForExitAsync(stop).WaitAsync(Patience, stop);
        var ended = (_process.ExitCode, await _output, await _errors);
        await TestContext.Out.WriteLineAsync(ended.Item2 + ended.Item3);
        return ended;
    }

    public void Dispose()
    {
        if (!_process.HasExited) _process.Kill(entireProcessTree: true);
        _process.Dispose();
    }

    private async Task<string> ReadOutputAsync()
    {
        var lines = new List<string>();
        while (await _process.StandardOutput.ReadLineAsync() is { } line)
        {
            lines.Add(line);
            if (line.StartsWith("Look at ", StringComparison.Ordinal)) _addresses.Add(new(line["Look at ".Length..]));
            if (line.Contains("stay until Ctrl+C", StringComparison.Ordinal)) _stays.TrySetResult();
            if (line.StartsWith("Servers:", StringComparison.Ordinal))
                _servers.TrySetResult([.. ProcessId().Matches(line).Select(static match => int.Parse(match.Groups["id"].Value, System.Globalization.CultureInfo.InvariantCulture))]);
        }

        _stays.TrySetException(new InvalidOperationException(string.Join('\n', lines)));
        return string.Join('\n', lines);
    }

    /// <summary>Beside this assembly's own folder: …/tests/X/bin/Debug/net10.0 and …/samples/ClientSync/bin/Debug/net10.0.</summary>
    private static string SampleAssembly()
    {
        var here = new DirectoryInfo(AppContext.BaseDirectory);
        var root = here.Parent!.Parent!.Parent!.Parent!.Parent!;
        return Path.Combine(root.FullName, "samples", "ClientSync", "bin", here.Parent.Name, here.Name, "ClientSync.dll");
    }

    [GeneratedRegex(@"process (?<id>\d+)", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex ProcessId();
}
