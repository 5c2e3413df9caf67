using System.Diagnostics;

namespace JobLocks.Benchmarks.Children;

/// <summary>This program once more, with locks of its own.</summary>
internal sealed class ChildProcess : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    // It has said all that it had to say, unless we were stopped while it waited for a lock.
    private static readonly TimeSpan TimeToEnd = TimeSpan.FromSeconds(5);

    private readonly Process _process;

    private ChildProcess(Process process) => _process = process;

    public static ChildProcess Start(Bench bench, bool isOurs) =>
        Start(bench.Database.ConnectionString(Child.Verb), Child.Verb, isOurs ? Child.Ours : Child.Theirs);

    public static ChildProcess Start(string connectionString, params string[] arguments)
    {
        var start = new ProcessStartInfo(Environment.ProcessPath!) { UseShellExecute = false, RedirectStandardInput = true, RedirectStandardOutput = true };
        start.Environment[Child.ConnectionVariable] = connectionString;

        // Run as "dotnet JobLocks.Benchmarks.dll", the process is dotnet itself.
        if (string.Equals(Path.GetFileNameWithoutExtension(Environment.ProcessPath), "dotnet", StringComparison.OrdinalIgnoreCase)) start.ArgumentList.Add(typeof(ChildProcess).Assembly.Location);
        foreach (var argument in arguments) start.ArgumentList.Add(argument);
        return new(Process.Start(start)!);
    }

    /// <summary>Ends it as nobody should: it can give nothing back.</summary>
    public void Kill() => _process.Kill();

    public Task OrderAsync(string act, object argument) => _process.StandardInput.WriteLineAsync(FormattableString.Invariant($"{act} {argument}"));

    /// <summary>Reads the next line.</summary>
    public async Task<string> AnswerAsync(CancellationToken stop) =>
        await _process.StandardOutput.ReadLineAsync(stop).AsTask().WaitAsync(Patience, stop)
        ?? throw new InvalidOperationException("The other process ended too early; what it said stands above.");

    /// <summary>Reads the next line, which can only be this one.</summary>
    public async Task ExpectAsync(string answer, CancellationToken stop)
    {
        var said = await AnswerAsync(stop);
        if (!string.Equals(said, answer, StringComparison.Ordinal)) throw new InvalidOperationException($"The other process should have said \"{answer}\", but said \"{said}\".");
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            _process.StandardInput.Close();
            using var patience = new CancellationTokenSource(TimeToEnd);
            try
            {
                await _process.WaitForExitAsync(patience.Token);
            }
            catch (OperationCanceledException)
            {
                _process.Kill();
            }
        }

        _process.Dispose();
    }
}
