using System.Globalization;

namespace JobLocks.Benchmarks.Measuring;

/// <summary>How busy the machine is, on Linux: what a case takes on a machine that has nothing left to give says little about the case.</summary>
internal sealed class Busy
{
    private const string Source = "/proc/stat";

    // The unit of the file, whatever the kernel's own clock.
    private const double TicksPerSecond = 100;

    // After the name of the line: user, nice, system, idle, iowait and more.
    private const int Idle = 4;
    private const int WaitsForDisk = 5;
    private const int OwnTimes = 7;

    private readonly (long Idle, long All) _before = ReadTicks();

    /// <summary>The processor time of all processes since this was made; null if the system does not say.</summary>
    public ProcessorUse? Read()
    {
        var (idle, all) = ReadTicks();
        var (idleTicks, allTicks) = (idle - _before.Idle, all - _before.All);
        return allTicks > 0 ? new(1 - ((double)idleTicks / allTicks), (allTicks - idleTicks) / TicksPerSecond) : null;
    }

    private static (long Idle, long All) ReadTicks()
    {
        if (!File.Exists(Source)) return default;

        var words = File.ReadLines(Source).First().Split(' ', StringSplitOptions.RemoveEmptyEntries);
        var times = words.Skip(1).Select(static word => long.Parse(word, CultureInfo.InvariantCulture)).ToList();
        // The time that other virtual machines took is left out, and the time of guests is part of user already.
        return (times[Idle - 1] + times[WaitsForDisk - 1], times.Take(OwnTimes).Sum());
    }
}
