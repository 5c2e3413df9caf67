using System.Diagnostics;

namespace JobLocks.Chaos;

/// <summary>This program once more, as a server in a process of its own.</summary>
internal sealed class ServerProcess : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    private readonly Process _process;
    private bool _isEnded;

    private ServerProcess(string name, Process process)
    {
        Name = name;
        _process = process;
    }

    public string Name { get; }

    /// <summary>Starts a server and waits until it works.</summary>
    public static async Task<ServerProcess> StartAsync(string name, string connectionString, string application, CancellationToken stop)
    {
        var start = new ProcessStartInfo("dotnet") { UseShellExecute = false, RedirectStandardInput = true, RedirectStandardOutput = true };
        start.Environment[Server.ConnectionVariable] = connectionString;
        start.Environment[Server.ApplicationVariable] = application;
        foreach (var argument in new[] { typeof(ServerProcess).Assembly.Location, Server.Verb, name }) start.ArgumentList.Add(argument);

        var server = new ServerProcess(name, Process.Start(start)!);
        return await server.IsReadyAsync(stop) ? server : throw new InvalidOperationException($"{name} did not start; what it said stands above.");
    }

    /// <summary>Puts its node of Quartz into standby, or starts it again.</summary>
    public async Task TellAsync(string what, CancellationToken stop)
    {
        await _process.StandardInput.WriteLineAsync(what.AsMemory(), stop);
        await _process.StandardInput.FlushAsync(stop);
        if (!await IsReadyAsync(stop)) throw new InvalidOperationException($"{Name} did not do what it was told: {what}.");
    }

    /// <summary>Ends it at once: it can give nothing back.</summary>
    public async Task KillAsync()
    {
        _process.Kill();
        await _process.WaitForExitAsync();
        _process.Dispose();
    }

    /// <summary>Lets it end its runs.</summary>
    public async ValueTask DisposeAsync()
    {
        if (_isEnded) return;

        _isEnded = true;
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

    private async Task<bool> IsReadyAsync(CancellationToken stop) =>
        string.Equals(await _process.StandardOutput.ReadLineAsync(stop).AsTask().WaitAsync(Patience, stop), Server.Ready, StringComparison.Ordinal);
}
