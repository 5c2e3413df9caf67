using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;

namespace JobLocks.Tests.Support;

/// <summary>Another process, started from this assembly, that takes a lock by hand and holds it until it is told otherwise.</summary>
internal sealed class OtherProcess : IDisposable
{
    private readonly Process _process;
    private readonly ConcurrentQueue<string> _errors;

    private OtherProcess(Process process, ConcurrentQueue<string> errors) => (_process, _errors) = (process, errors);

    /// <summary>The argument with which the other process prints <see cref="Names"/> and ends.</summary>
    public const string PrintNames = "names";

    public int Id => _process.Id;

    /// <summary>A name from a template and a default name, of values that a culture could touch. Escaped, since a console has an encoding.</summary>
    public static string Names()
    {
        (string, object?)[] values = [("a", 1234.5), ("b", new DateTime(2026, 1, 2, 3, 4, 5, DateTimeKind.Utc)), ("c", 1234.5m), ("d", "Iıİi straße"), ("e", -7L)];
        return Uri.EscapeDataString($"{Calls.NameOf("Illinois({a},{b:MMM yyyy},{c:N2},{d},{e})", values)} {Calls.NameOf(null, values)}");
    }

    /// <summary>What the other process runs: one line for each step, one line read before the end.</summary>
    public static async Task<int> Main(string[] arguments)
    {
        if (string.Equals(arguments[0], PrintNames, StringComparison.Ordinal))
        {
            Console.WriteLine(Names());
            return 0;
        }

        if (string.Equals(arguments[0], WatchedLock.Argument, StringComparison.Ordinal)) return await WatchedLock.RunAsync(arguments[1..]);
        if (string.Equals(arguments[0], BlockedPool.Argument, StringComparison.Ordinal)) return BlockedPool.Run(arguments[1], arguments[2]);

        var (connectionString, name, end) = (arguments[0], arguments[1], arguments[2]);
        await using var locks = AdvisoryLocks.Connect(connectionString);
        var handle = await locks.TryAcquireAsync(name);
        Console.WriteLine(handle is null ? "refused" : "held");
        await Console.In.ReadLineAsync();
        if (string.Equals(end, "throw", StringComparison.Ordinal)) throw new InvalidOperationException("The work failed.");
        if (handle is not null) await handle.DisposeAsync();
        Console.WriteLine("released");
        await Console.In.ReadLineAsync();
        return 0;
    }

    public static OtherProcess Start(string connectionString, string lockName, string end = "release") => Start([connectionString, lockName, end]);

    /// <summary>A process that takes a lock by hand and says when that was, and when it lost it: see <see cref="WatchedLock"/>.</summary>
    /// <param name="connectionString">Leads to the database.</param>
    /// <param name="lockName">Without a scope.</param>
    /// <param name="options">Settings of <see cref="JobLocksOptions"/>, such as <c>HeartbeatInterval=00:00:01</c>.</param>
    public static OtherProcess Watch(string connectionString, string lockName, params string[] options) =>
        Start([WatchedLock.Argument, connectionString, lockName, .. options]);

    /// <summary>A process that takes locks while its thread pool is blocked: see <see cref="BlockedPool"/>.</summary>
    public static OtherProcess BlockPool(string connectionString, string lockName) => Start([BlockedPool.Argument, connectionString, lockName]);

    private static OtherProcess Start(string[] arguments)
    {
        var start = new ProcessStartInfo("dotnet") { UseShellExecute = false, RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var argument in (string[])["exec", typeof(OtherProcess).Assembly.Location, .. arguments]) start.ArgumentList.Add(argument);
        var process = Process.Start(start)!;
        var errors = new ConcurrentQueue<string>();
        process.ErrorDataReceived += (_, said) => errors.Enqueue(said.Data ?? "");
        process.BeginErrorReadLine();
        return new(process, errors);
    }

    /// <summary>The next line of its output.</summary>
    /// <exception cref="InvalidOperationException">It has ended. The message has what it wrote to its error output.</exception>
    public async Task<string> SaysAsync(CancellationToken stop)
    {
        if (await _process.StandardOutput.ReadLineAsync(stop) is { } line) return line;

        await _process.WaitForExitAsync(stop);
        throw new InvalidOperationException($"The other process has ended with {_process.ExitCode}: {string.Join('\n', _errors)}");
    }

    /// <summary>Waits for the next line, which must be this word and the time at which it came true.</summary>
    /// <returns>The <see cref="Stopwatch.GetTimestamp"/> of the other process, which runs by the same clock as ours.</returns>
    public async Task<long> SaysWhenAsync(string word, CancellationToken stop)
    {
        var line = await SaysAsync(stop);
        if (line.Split(' ') is [var said, var number] && string.Equals(said, word, StringComparison.Ordinal))
            return long.Parse(number, CultureInfo.InvariantCulture);

        throw new InvalidOperationException($"The other process should say '{word}' and a number, but says '{line}'.");
    }

    /// <summary>Asks a process that watches its lock for the fencing token.</summary>
    public async Task<long> SaysTokenAsync(CancellationToken stop)
    {
        await TellAsync(WatchedLock.Token);
        return await SaysWhenAsync(WatchedLock.Token, stop);
    }

    /// <summary>Tells a process that watches its lock what to do: a word of <see cref="WatchedLock"/>.</summary>
    public Task TellAsync(string word) => _process.StandardInput.WriteLineAsync(word);

    public Task GoOnAsync() => _process.StandardInput.WriteLineAsync();

    public async Task KillAsync(CancellationToken stop)
    {
        _process.Kill();
        await _process.WaitForExitAsync(stop);
    }

    public async Task EndAsync(CancellationToken stop) => await _process.WaitForExitAsync(stop);

    public void Dispose()
    {
        if (!_process.HasExited) _process.Kill();
        _process.Dispose();
    }
}
