using System.Collections.Concurrent;
using System.Diagnostics;

namespace JobLocks.Together.Tests.Applications;

/// <summary>Another application in a process of its own, which is killed at the end if not before.</summary>
internal sealed class ApplicationProcess : IDisposable
{
    private readonly Process _process;
    private readonly ConcurrentQueue<string> _errors = [];

    private ApplicationProcess(Process process)
    {
        _process = process;
        process.ErrorDataReceived += (_, said) => _errors.Enqueue(said.Data ?? "");
        process.BeginErrorReadLine();
    }

    /// <summary>Starts one whose jobs are in memory and wait for the lock of a client.</summary>
    public static Task<ApplicationProcess> StartInMemoryAsync(string connectionString, string client, CancellationToken stop) =>
        StartAsync([OtherApplication.InMemory, connectionString, client], stop);

    /// <summary>Starts one that holds the lock of a client.</summary>
    /// <param name="connectionString">Leads to the database.</param>
    /// <param name="client">Whose lock.</param>
    /// <param name="schema">That of its storage of Hangfire.</param>
    /// <param name="queue">What its server serves; empty for no server.</param>
    /// <param name="stop">Gives up.</param>
    public static Task<ApplicationProcess> StartHolderAsync(string connectionString, string client, string schema, string queue, CancellationToken stop) =>
        StartAsync([OtherApplication.Holder, connectionString, client, schema, queue], stop);

    /// <summary>Tells it what to do, and waits until it has done so.</summary>
    public async Task TellAsync(string word, CancellationToken stop)
    {
        await _process.StandardInput.WriteLineAsync(word.AsMemory(), stop);
        await _process.StandardInput.FlushAsync(stop);
        await IsDoneAsync(stop);
    }

    /// <summary>Ends it at once: it can give nothing back.</summary>
    public async Task KillAsync(CancellationToken stop)
    {
        _process.Kill();
        await _process.WaitForExitAsync(stop);
    }

    public void Dispose()
    {
        if (!_process.HasExited) _process.Kill();
        _process.Dispose();
    }

    private static async Task<ApplicationProcess> StartAsync(string[] arguments, CancellationToken stop)
    {
        var start = new ProcessStartInfo("dotnet") { UseShellExecute = false, RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var argument in (string[])["exec", typeof(ApplicationProcess).Assembly.Location, .. arguments]) start.ArgumentList.Add(argument);
        var application = new ApplicationProcess(Process.Start(start)!);
        await application.IsDoneAsync(stop);
        return application;
    }

    private async Task IsDoneAsync(CancellationToken stop)
    {
        if (string.Equals(await _process.StandardOutput.ReadLineAsync(stop), OtherApplication.Done, StringComparison.Ordinal)) return;

        _process.Kill();
        await _process.WaitForExitAsync(stop);
        throw new InvalidOperationException($"The other application has failed: {string.Join('\n', _errors)}");
    }
}
