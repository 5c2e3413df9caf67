using System.Diagnostics;
using System.Globalization;

namespace JobLocks.Testing.Postgres;

/// <summary>The server process of a data folder.</summary>
internal static class Postmaster
{
    /// <summary>PostgreSQL notes the process id itself; after a crash that id may have gone to any other program.</summary>
    public static bool Runs(string data)
    {
        try
        {
            var firstLine = File.ReadLines(Path.Combine(data, "postmaster.pid")).FirstOrDefault();
            return int.TryParse(firstLine, CultureInfo.InvariantCulture, out var id) && IsPostgres(id, data);
        }
        catch (Exception reason) when (reason is FileNotFoundException or DirectoryNotFoundException)
        {
            return false;
        }
    }

    private static bool IsPostgres(int id, string data)
    {
        if (OperatingSystem.IsLinux())
            return File.ReadAllText($"/proc/{id.ToString(CultureInfo.InvariantCulture)}/cmdline").Contains(data, StringComparison.Ordinal);

        try
        {
            using var process = Process.GetProcessById(id);
            return process.ProcessName.StartsWith("postgres", StringComparison.OrdinalIgnoreCase);
        }
        catch (ArgumentException)
        {
            return false;
        }
    }
}
