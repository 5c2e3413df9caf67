using System.Diagnostics;
using System.Globalization;
using Npgsql;

namespace JobLocks.Testing.Postgres;

/// <summary>A PgBouncer in front of a PostgreSQL, for as long as this object lives, or else until this process ends.</summary>
/// <remarks>
/// Listens on a random port of the loopback address and asks nobody for a password. Runs as the account that also runs
/// PostgreSQL where we are root, since PgBouncer too refuses to run as root.
/// </remarks>
/// <example><code>
/// if (!PgBouncer.IsInstalled) Assert.Ignore(PgBouncer.WhyMissing);
/// await using var bouncer = await PgBouncer.StartAsync(postgres.ConnectionString, PoolMode.Transaction);
/// await using var dataSource = NpgsqlDataSource.Create(bouncer.ConnectionString);
/// </code></example>
public sealed class PgBouncer : IAsyncDisposable
{
    /// <summary>Why a test is ignored where <see cref="IsInstalled"/> is false.</summary>
    public const string WhyMissing = "PgBouncer is not installed here (apt-get install pgbouncer, brew install pgbouncer).";

    private const int Attempts = 5;

    /// <summary>
    /// PgBouncer has no request to end with us, but our end of its standard input closes however we end. The shell kills rather than asks: versions
    /// differ in which signal waits for clients and which does not, and there is nothing to be saved.
    /// </summary>
    private const string EndsWithItsInput = "\"$0\" \"$@\" & read -r line; kill -KILL $!; wait";

    private static readonly TimeSpan LongestStart = TimeSpan.FromSeconds(20);

    private readonly ServerFolder _folder;
    private readonly Process _shell;

    private PgBouncer(ServerFolder folder, Process shell, string connectionString)
    {
        _folder = folder;
        _shell = shell;
        ConnectionString = connectionString;
    }

    /// <summary>Whether there is a PgBouncer on this machine. Never on Windows.</summary>
    public static bool IsInstalled => Program() is not null;

    /// <summary>Leads through PgBouncer to the same database as the same user.</summary>
    public string ConnectionString { get; }

    /// <summary>What PgBouncer has written so far, for whoever looks into a failure.</summary>
    public string Log => _folder.ReadLog();

    /// <summary>Starts a PgBouncer and waits until it listens.</summary>
    /// <param name="connectionString">Leads to the server. All databases of it can be reached.</param>
    /// <param name="mode">For how long a client has one session of the server.</param>
    /// <param name="defaultPoolSize">How many sessions of the server there are at most for one database and user; more clients wait.</param>
    /// <param name="stop">Gives up, and leaves nothing behind.</param>
    /// <exception cref="InvalidOperationException">There is no PgBouncer here, or it does not start.</exception>
    public static async Task<PgBouncer> StartAsync(
        string connectionString, PoolMode mode, int defaultPoolSize = 20, CancellationToken stop = default)
    {
        var program = Program() ?? throw new InvalidOperationException(WhyMissing);
        var server = new NpgsqlConnectionStringBuilder(connectionString);
        var account = await UnixAccount.InsteadOfRootAsync(stop);
        for (var attempt = 1; ; attempt++)
        {
            var port = LoopbackPort.Free();
            var settings = new PgBouncerSettings(server, port, mode, defaultPoolSize);
            if (await TryStartAsync(program, account, settings, isLast: attempt == Attempts, stop) is { } bouncer)
                return bouncer;
        }
    }

    /// <summary>Kills PgBouncer, and with it every connection through it, and deletes what it wrote.</summary>
    public async ValueTask DisposeAsync()
    {
        await EndAsync(_shell);
        await _folder.DeleteAsync();
    }

    /// <returns>Null where somebody was faster in taking the port.</returns>
    private static async Task<PgBouncer?> TryStartAsync(
        string program, UnixAccount? account, PgBouncerSettings settings, bool isLast, CancellationToken stop)
    {
        // The next start of a PostgreSQL server deletes the folder, should we be killed.
        var folder = ServerFolder.Create();
        Process? shell = null;
        try
        {
            Directory.CreateDirectory(folder.Data);
            await settings.WriteAsync(folder, stop);
            if (account is not null)
                await account.OwnAsync(folder, stop);

            shell = Start(program, account, folder);
            if (await ListensAsync(folder, shell, isLast, stop))
                return new(folder, shell, settings.ClientConnectionString);
        }
        catch
        {
            await CleanAsync();
            throw;
        }

        await CleanAsync();
        return null;

        async Task CleanAsync()
        {
            if (shell is not null)
                await EndAsync(shell);

            await folder.DeleteAsync();
        }
    }

    private static Process Start(string program, UnixAccount? account, ServerFolder folder)
    {
        string[] command = ["sh", "-c", EndsWithItsInput, program, "-q", PgBouncerSettings.FileIn(folder)];
        command = account is null ? command : account.Command(command);
        var start = new ProcessStartInfo(command[0], command[1..])
        {
            UseShellExecute = false,
            WorkingDirectory = folder.Path,
            RedirectStandardInput = true,
            RedirectStandardError = true,
            RedirectStandardOutput = true,
        };

        var shell = Process.Start(start)!;

        // It writes the same to its log; a pipe that nobody empties would stop it.
        shell.OutputDataReceived += static (_, _) => { };
        shell.ErrorDataReceived += static (_, _) => { };
        shell.BeginOutputReadLine();
        shell.BeginErrorReadLine();
        return shell;
    }

    private static async Task<bool> ListensAsync(ServerFolder folder, Process shell, bool isLast, CancellationToken stop)
    {
        var waited = Stopwatch.StartNew();
        while (true)
        {
            var log = folder.ReadLog();
            if (log.Contains("process up", StringComparison.Ordinal))
                return true;

            if (!isLast && log.Contains("ddress already in use", StringComparison.Ordinal))
                return false;

            if (shell.HasExited || waited.Elapsed > LongestStart || log.Contains("FATAL", StringComparison.Ordinal))
                throw new InvalidOperationException($"PgBouncer did not start within {LongestStart.TotalSeconds.ToString(CultureInfo.InvariantCulture)} s: {log}");

            await Task.Delay(TimeSpan.FromMilliseconds(10), stop);
        }
    }

    private static async Task EndAsync(Process shell)
    {
        try
        {
            shell.StandardInput.Close();
        }
        catch (IOException)
        {
            // It has ended by itself.
        }

        await shell.WaitForExitAsync(CancellationToken.None);
        shell.Dispose();
    }

    private static string? Program() => OperatingSystem.IsWindows()
        ? null
        : (Environment.GetEnvironmentVariable("PATH") ?? "")
            .Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)
            .Concat(["/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/bin"])   // Debian's is not in the path of plain users.
            .Select(static folder => Path.Combine(folder, "pgbouncer"))
            .FirstOrDefault(File.Exists);
}
