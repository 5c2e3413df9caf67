namespace JobLocks.Testing.Postgres;

/// <summary>PostgreSQL's own programs, run under an account that they accept.</summary>
internal sealed class PostgresTools(PostgresBinaries binaries, UnixAccount? account)
{
    public async Task InitializeAsync(ServerFolder folder, CancellationToken stop)
    {
        Directory.CreateDirectory(folder.Data);
        if (account is not null)
            await account.OwnAsync(folder, stop);

        var end = await RunAsync(
            "initdb", ["-D", folder.Data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"], folder, stop);
        if (end.Failed)
            throw new InvalidOperationException($"{binaries.Program("initdb")} failed: {await end.OutputAsync(stop)}");
    }

    public async Task StartAsync(ServerFolder folder, CancellationToken stop)
    {
        var end = await RunAsync("pg_ctl", ["start", "-D", folder.Data, "-l", folder.Log, "-w", "-s"], folder, stop);
        if (end.Failed)
            throw new InvalidOperationException($"PostgreSQL of {binaries.Folder} did not start: {await end.OutputAsync(stop)}\n{folder.ReadLog()}");
    }

    public async Task StopAsync(ServerFolder folder, bool immediate, CancellationToken stop)
    {
        var end = await RunAsync("pg_ctl", ["stop", "-D", folder.Data, "-m", immediate ? "immediate" : "fast", "-w", "-s"], folder, stop);
        if (end.Failed)
            throw new InvalidOperationException($"PostgreSQL of {binaries.Folder} did not stop: {await end.OutputAsync(stop)}");
    }

    private Task<ProgramEnd> RunAsync(string tool, string[] arguments, ServerFolder folder, CancellationToken stop)
    {
        string[] command = [binaries.Program(tool), .. arguments];
        return ProgramEnd.OfAsync(account is null ? command : account.Command(command), folder.Path, stop);
    }
}
