using System.Diagnostics;

namespace ClientSync;

/// <summary>This program once more, as a server in a process of its own.</summary>
internal sealed class ServerProcess : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    private readonly Process _process;

    private ServerProcess(string name, Process process)
    {
        Name = name;
        _process = process;
    }

    public string Name { get; }

    public int Id => _process.Id;

    /// <summary>Where its metrics are, for Prometheus.</summary>
    public string Metrics { get; private set; } = "";

    public bool HasEnded => _process.HasExited;

    /// <summary>Starts a server and waits until it works.</summary>
    public static async Task<ServerProcess> StartAsync(string name, string connectionString, string feedFile, CancellationToken stop)
    {
        var start = new ProcessStartInfo(Environment.ProcessPath!) { UseShellExecute = false, RedirectStandardInput = true, RedirectStandardOutput = true };
        start.Environment[Server.ConnectionVariable] = connectionString;

        // Run as "dotnet ClientSync.dll", the process is dotnet itself.
        if (string.Equals(Path.GetFileNameWithoutExtension(Environment.ProcessPath), "dotnet", StringComparison.OrdinalIgnoreCase)) start.ArgumentList.Add(typeof(ServerProcess).Assembly.Location);
        foreach (var argument in new[] { "serve", name, "--feed", Path.GetFullPath(feedFile) }) start.ArgumentList.Add(argument);

        var server = new ServerProcess(name, Process.Start(start)!);
        try
        {
            var answer = await server._process.StandardOutput.ReadLineAsync(stop).AsTask().WaitAsync(Patience, stop);
            if (answer?.StartsWith(Server.Ready, StringComparison.Ordinal) != true) throw new InvalidOperationException($"{name} did not start; what it said stands above.");

            server.Metrics = answer[Server.Ready.Length..];
            return server;
        }
        catch
        {
            // No other process knows of it yet, and it may wait long for a database that goes away with this process.
            server._process.Kill();
            server._process.Dispose();
            throw;
        }
    }

    /// <summary>Lets the server end its runs, and ends it after a while if it does not.</summary>
    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            _process.StandardInput.Close();
            using var patience = new CancellationTokenSource(Patience);
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
