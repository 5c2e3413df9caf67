using System.Runtime.InteropServices;

namespace JobLocks.Primitives;

/// <summary>
/// The time since the machine started, including the time for which it slept. Changes of the wall clock do not affect it. The clock of
/// <see cref="TimeProvider.GetTimestamp"/> stops on Linux and macOS while the machine sleeps, but the clock of the server continues.
/// Thread-safe.
/// </summary>
internal static class BootClock
{
    // 7 is CLOCK_BOOTTIME of Linux. 6 is CLOCK_MONOTONIC of Darwin, which continues during sleep.
    private static readonly int Clock = OperatingSystem.IsMacOS() ? 6 : 7;

    public static TimeSpan Now
    {
        get
        {
            // The tick count of Windows continues during sleep.
            if (OperatingSystem.IsWindows()) return TimeSpan.FromMilliseconds(Environment.TickCount64);

            return ReadClock(Clock, out var time) == 0
                ? TimeSpan.FromSeconds(time.Seconds) + TimeSpan.FromTicks(time.Nanoseconds / TimeSpan.NanosecondsPerTick)
                : throw new PlatformNotSupportedException("This system has no clock that goes on while the machine sleeps.");
        }
    }

    [DllImport("libc", EntryPoint = "clock_gettime")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int ReadClock(int clock, out Timespec time);

    [StructLayout(LayoutKind.Sequential)]
    private readonly struct Timespec
    {
        public readonly nint Seconds;
        public readonly nint Nanoseconds;
    }
}
