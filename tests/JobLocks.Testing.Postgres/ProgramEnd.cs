using System.Diagnostics;

namespace JobLocks.Testing.Postgres;

/// <summary>How the run of another program ended.</summary>
internal sealed class ProgramEnd
{
    private readonly Task<string[]> _output;

    private ProgramEnd(bool failed, Task<string[]> output)
    {
        Failed = failed;
        _output = output;
    }

    public bool Failed { get; }

    public static async Task<ProgramEnd> OfAsync(string[] command, string folder, CancellationToken stop)
    {
        stop.ThrowIfCancellationRequested();
        using var program = Start(command, folder);
        var output = Task.WhenAll(
            program.StandardError.ReadToEndAsync(CancellationToken.None), program.StandardOutput.ReadToEndAsync(CancellationToken.None));

        // Not left half-way: a tool of PostgreSQL that is killed leaves shared memory, or a server that nobody knows of.
        await program.WaitForExitAsync(CancellationToken.None);
        stop.ThrowIfCancellationRequested();
        return new(program.ExitCode != 0, output);
    }

    /// <summary>
    /// What it said, to be asked for after a failure only: on Windows a server that has been started inherits the pipes of
    /// the program that started it, so that their end comes with the end of the server.
    /// </summary>
    public async Task<string> OutputAsync(CancellationToken stop) => string.Join('\n', await _output.WaitAsync(stop)).Trim();

    private static Process Start(string[] command, string folder)
    {
        var start = new ProcessStartInfo(command[0], command[1..])
        {
            UseShellExecute = false,
            WorkingDirectory = folder,
            RedirectStandardError = true,
            RedirectStandardOutput = true,
            CreateNoWindow = true,
        };

        return Process.Start(start)!;
    }
}
