using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;

namespace JobLocks.Testing.Postgres;

/// <summary>
/// A process that stands still, as with SIGSTOP or on a virtual machine that is paused, until this object is disposed. Its
/// connections stay open, and its system still acknowledges what it is sent.
/// </summary>
/// <remarks>Not on Windows. Needs the right to send signals to the process: it belongs to us, or we are root.</remarks>
public sealed class FrozenProcess : IDisposable
{
    private static readonly int Stop = OperatingSystem.IsLinux() ? 19 : 17;
    private static readonly int Continue = OperatingSystem.IsLinux() ? 18 : 19;

    private static readonly TimeSpan LongestStop = TimeSpan.FromSeconds(10);

    private readonly int _id;
    private int _thawed;

    private FrozenProcess(int id)
    {
        _id = id;
        FrozenTimestamp = Stopwatch.GetTimestamp();
    }

    /// <summary>False on Windows.</summary>
    public static bool IsSupported => !OperatingSystem.IsWindows();

    /// <summary>The <see cref="Stopwatch.GetTimestamp"/> from which on it certainly did nothing.</summary>
    public long FrozenTimestamp { get; }

    /// <summary>Stops a process, and waits until it stands still.</summary>
    /// <param name="processId">Of any program: another test process, or the backend of a PostgreSQL session.</param>
    /// <exception cref="Win32Exception">There is no such process, or it is not ours.</exception>
    /// <exception cref="PlatformNotSupportedException">This is Windows.</exception>
    public static FrozenProcess Freeze(int processId)
    {
        if (!IsSupported)
            throw new PlatformNotSupportedException($"Windows cannot stop a process. Ask {nameof(FrozenProcess)}.{nameof(IsSupported)} first.");

        // To 0 and below, kill speaks to whole groups of processes, ours included.
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(processId);
        Send(processId, Stop);
        if (OperatingSystem.IsLinux())
            WaitUntilStopped(processId);

        return new(processId);
    }

    /// <summary>Lets the process go on. Harmless when it does already, or has ended.</summary>
    /// <returns>The <see cref="Stopwatch.GetTimestamp"/> until which it certainly did nothing.</returns>
    public long Thaw()
    {
        var before = Stopwatch.GetTimestamp();
        if (Interlocked.Exchange(ref _thawed, 1) == 0)
            _ = NativeMethods.Kill(_id, Continue);

        return before;
    }

    /// <summary>Lets the process go on.</summary>
    public void Dispose() => Thaw();

    private static void Send(int processId, int signal)
    {
        if (NativeMethods.Kill(processId, signal) == -1)
            throw new Win32Exception(Marshal.GetLastPInvokeError());
    }

    /// <summary>A signal is on its way for a moment, and each thread finishes what it does in the kernel.</summary>
    private static void WaitUntilStopped(int processId)
    {
        var threads = string.Create(CultureInfo.InvariantCulture, $"/proc/{processId}/task");
        var waited = Stopwatch.StartNew();
        while (Directory.EnumerateDirectories(threads).Any(static thread => !IsStopped(thread)))
        {
            if (waited.Elapsed > LongestStop)
            {
                Send(processId, Continue);
                throw new InvalidOperationException($"Process {processId.ToString(CultureInfo.InvariantCulture)} was told to stop and did not.");
            }

            Thread.Yield();
        }
    }

    private static bool IsStopped(string thread)
    {
        try
        {
            // "812 (dotnet) T 1 …": the state stands behind the name, which may hold anything.
            var stat = File.ReadAllText(Path.Combine(thread, "stat"));
            return stat[stat.LastIndexOf(')') + 2] is 'T' or 't';
        }
        catch (Exception ended) when (ended is FileNotFoundException or DirectoryNotFoundException or IOException)
        {
            return true;
        }
    }

    private static class NativeMethods
    {
        [DllImport("libc", EntryPoint = "kill", SetLastError = true)]
        [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
        public static extern int Kill(int processId, int signal);
    }
}
