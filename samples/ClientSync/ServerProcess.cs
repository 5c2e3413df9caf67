using JobLocks.Testing.Postgres;

namespace ClientSync;

/// <summary>This program once more, as a server in a process of its own.</summary>
internal sealed class ServerProcess : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    private readonly ChildProgram _program;

    private ServerProcess(string name, ChildProgram program, string metrics) => (Name, _program, Metrics) = (name, program, metrics);

    public string Name { get; }

    public int Id => _program.Id;

    /// <summary>Where its metrics are, for Prometheus.</summary>
    public string Metrics { get; }

    public bool HasEnded => _program.HasEnded;

    /// <summary>Starts a server and waits until it works.</summary>
    public static async Task<ServerProcess> StartAsync(string name, string connectionString, string feedFile, CancellationToken stop)
    {
        var program = ChildProgram.Start(
            typeof(ServerProcess).Assembly, ["serve", name, "--feed", Path.GetFullPath(feedFile)], [KeyValuePair.Create(Server.ConnectionVariable, connectionString)], Patience);
        try
        {
            var answer = await program.ReadLineAsync(Patience, stop);
            return answer?.StartsWith(Server.Ready, StringComparison.Ordinal) == true
                ? new(name, program, answer[Server.Ready.Length..])
                : throw new InvalidOperationException($"{name} did not start; what it said stands above.");
        }
        catch
        {
            // No other process knows of it yet, and it may wait long for a database that goes away with this process.
            await program.KillAsync();
            throw;
        }
    }

    /// <summary>Lets the server end its runs, and ends it after a while if it does not.</summary>
    public ValueTask DisposeAsync() => _program.DisposeAsync();
}
