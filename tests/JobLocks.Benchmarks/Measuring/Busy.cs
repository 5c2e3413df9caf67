using System.Globalization;

namespace JobLocks.Benchmarks.Measuring;

/// <summary>How busy the machine is, on Linux: what a case takes on a machine that has nothing left to give says little about the case.</summary>
internal sealed class Busy
{
    private const string Source = "/proc/stat";

    // After the name of the line: user, nice, system, idle, iowait and more.
    private const int Idle = 4;
    private const int WaitsForDisk = 5;

    private readonly (long Idle, long All) _before = Read();

    /// <summary>The share of all cores that was at work since this was made; null where the system does not say.</summary>
    public double? Share => Read() is var (idle, all) && all > _before.All ? 1 - ((double)(idle - _before.Idle) / (all - _before.All)) : null;

    private static (long Idle, long All) Read()
    {
        if (!File.Exists(Source)) return default;

        var words = File.ReadLines(Source).First().Split(' ', StringSplitOptions.RemoveEmptyEntries);
        var times = words.Skip(1).Select(static word => long.Parse(word, CultureInfo.InvariantCulture)).ToList();
        return (times[Idle - 1] + times[WaitsForDisk - 1], times.Sum());
    }
}
