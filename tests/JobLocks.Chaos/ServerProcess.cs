using JobLocks.Testing.Postgres;

namespace JobLocks.Chaos;

/// <summary>This program once more, as a server in a process of its own.</summary>
internal sealed class ServerProcess : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    private readonly ChildProgram _program;

    private ServerProcess(string name, ChildProgram program) => (Name, _program) = (name, program);

    public string Name { get; }

    /// <summary>Starts a server and waits until it works.</summary>
    public static async Task<ServerProcess> StartAsync(string name, string connectionString, string application, CancellationToken stop)
    {
        var program = ChildProgram.Start(
            typeof(ServerProcess).Assembly,
            [Server.Verb, name],
            [KeyValuePair.Create(Server.ConnectionVariable, connectionString), KeyValuePair.Create(Server.ApplicationVariable, application)],
            Patience);
        var server = new ServerProcess(name, program);
        return await server.IsReadyAsync(stop) ? server : throw new InvalidOperationException($"{name} did not start; what it said stands above.");
    }

    /// <summary>Puts its node of Quartz into standby, or starts it again.</summary>
    public async Task TellAsync(string what, CancellationToken stop)
    {
        await _program.WriteLineAsync(what, stop);
        if (!await IsReadyAsync(stop)) throw new InvalidOperationException($"{Name} did not do what it was told: {what}.");
    }

    /// <summary>Ends it at once: it can give nothing back.</summary>
    public Task KillAsync() => _program.KillAsync();

    /// <summary>Lets it end its runs.</summary>
    public ValueTask DisposeAsync() => _program.DisposeAsync();

    private async Task<bool> IsReadyAsync(CancellationToken stop) => string.Equals(await _program.ReadLineAsync(Patience, stop), Server.Ready, StringComparison.Ordinal);
}
