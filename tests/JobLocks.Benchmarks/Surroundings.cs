using System.Globalization;
using System.Runtime.InteropServices;
using JobLocks.Testing.Postgres;
using Npgsql;

namespace JobLocks.Benchmarks;

/// <summary>What the numbers hold for.</summary>
internal static class Surroundings
{
    private const string LoadFile = "/proc/loadavg";

    private const string Settings =
        """
        SELECT format('fsync %s, synchronous_commit %s, max_connections %s',
                      current_setting('fsync'), current_setting('synchronous_commit'), current_setting('max_connections'))
        """;

    public static async Task PrintAsync(PostgresServer server, Database database, CancellationToken stop)
    {
        Console.WriteLine($"Machine: {Environment.ProcessorCount} cores, {RuntimeInformation.OSDescription} ({RuntimeInformation.OSArchitecture}), {RuntimeInformation.FrameworkDescription}.");
        Console.WriteLine($"Server: {server.Source}, {await database.AskAsync(Settings, stop)}, over {Way(server.ConnectionString)}.");
        if (Load() is { } load && load >= 1) Console.WriteLine($"WARNING: others are using this machine (load {load.ToString("0.0", CultureInfo.InvariantCulture)}), and the numbers suffer from it.");
#if DEBUG
        Console.WriteLine("WARNING: this is a Debug build, and its numbers are worthless. Use: dotnet run -c Release --project tests/JobLocks.Benchmarks");
#endif
    }

    /// <summary>How many programs wanted a core in the last minute, where the system counts them.</summary>
    private static double? Load() => File.Exists(LoadFile) ? double.Parse(File.ReadAllText(LoadFile).Split(' ')[0], CultureInfo.InvariantCulture) : null;

    private static string Way(string connectionString)
    {
        var host = new NpgsqlConnectionStringBuilder(connectionString).Host;
        return Path.IsPathRooted(host) ? $"the socket in {host}" : $"TCP ({host})";
    }
}
