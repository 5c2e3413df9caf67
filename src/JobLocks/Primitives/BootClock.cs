using System.Runtime.InteropServices;

namespace JobLocks.Primitives;

/// <summary>
/// Time since the machine started, the time it slept included; a change of the wall clock does not touch it. The clock of
/// <see cref="TimeProvider.GetTimestamp"/> stands still on Linux and macOS while the machine sleeps, and the server's does not.
/// </summary>
internal static class BootClock
{
    // CLOCK_BOOTTIME of Linux; Darwin's CLOCK_MONOTONIC goes on during sleep.
    private static readonly int Clock = OperatingSystem.IsMacOS() ? 6 : 7;

    public static TimeSpan Now
    {
        get
        {
            // Windows counts its ticks through sleep.
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
