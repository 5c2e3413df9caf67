using System.Diagnostics;
using System.Reflection;

namespace JobLocks.Testing.Postgres;

/// <summary>
/// A program of this repository in a process of its own. It reads orders from its standard input and ends when the input ends, so that it also ends
/// when its parent is killed.
/// </summary>
public sealed class ChildProgram : IAsyncDisposable
{
    private readonly Process _process;
    private readonly TimeSpan _timeToEnd;
    private bool _isDisposed;

    private ChildProgram(Process process, TimeSpan timeToEnd) => (_process, _timeToEnd) = (process, timeToEnd);

    /// <summary>The id of the process.</summary>
    public int Id => _process.Id;

    /// <summary>Whether the process has ended.</summary>
    public bool HasEnded => _process.HasExited;

    /// <summary>Starts a program.</summary>
    /// <param name="program">The program.</param>
    /// <param name="arguments">Its arguments. Other users of the machine can read them.</param>
    /// <param name="environment">The environment variables that it has in addition to those of this process.</param>
    /// <param name="timeToEnd">How long <see cref="DisposeAsync"/> waits before it kills the process.</param>
    public static ChildProgram Start(Assembly program, IEnumerable<string> arguments, IEnumerable<KeyValuePair<string, string>> environment, TimeSpan timeToEnd)
    {
        var start = new ProcessStartInfo { UseShellExecute = false, RedirectStandardInput = true, RedirectStandardOutput = true };
        foreach (var (name, value) in environment) start.Environment[name] = value;

        // A program that was built has an executable file of its own. Where this process is that file, it is started again; otherwise dotnet loads the assembly.
        var thisFile = Path.GetFileNameWithoutExtension(Environment.ProcessPath);
        var isThisFile = string.Equals(thisFile, program.GetName().Name, StringComparison.Ordinal);
        var isDotnet = string.Equals(thisFile, "dotnet", StringComparison.OrdinalIgnoreCase);
        start.FileName = isThisFile || isDotnet ? Environment.ProcessPath! : "dotnet";
        if (!isThisFile) start.ArgumentList.Add(program.Location);
        foreach (var argument in arguments) start.ArgumentList.Add(argument);
        return new(Process.Start(start)!, timeToEnd);
    }

    /// <summary>Reads the next line of its standard output; null if it has ended.</summary>
    /// <param name="patience">How long this waits for the line.</param>
    /// <param name="stop">Cancels the call.</param>
    /// <exception cref="TimeoutException">The line has not come.</exception>
    public Task<string?> ReadLineAsync(TimeSpan patience, CancellationToken stop) => _process.StandardOutput.ReadLineAsync(stop).AsTask().WaitAsync(patience, stop);

    /// <summary>Writes a line to its standard input.</summary>
    public async Task WriteLineAsync(string line, CancellationToken stop)
    {
        await _process.StandardInput.WriteLineAsync(line.AsMemory(), stop);
        await _process.StandardInput.FlushAsync(stop);
    }

    /// <summary>Kills the process: it can release nothing.</summary>
    public void Kill() => _process.Kill();

    /// <summary>Kills the process, and waits until it has ended.</summary>
    public async Task KillAsync()
    {
        Kill();
        await _process.WaitForExitAsync();
        await DisposeAsync();
    }

    /// <summary>Ends its standard input, and waits until it has ended its runs. Kills it if that takes too long.</summary>
    public async ValueTask DisposeAsync()
    {
        if (_isDisposed) return;

        _isDisposed = true;
        if (!_process.HasExited)
        {
            _process.StandardInput.Close();
            using var patience = new CancellationTokenSource(_timeToEnd);
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
