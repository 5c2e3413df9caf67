using System.Diagnostics;
using System.Reflection;
using System.Text;

namespace JobLocks.Primitives;

/// <summary>How this process is named where nothing else was said.</summary>
internal static class ProcessName
{
    /// <summary>PostgreSQL cuts an application name after NAMEDATALEN - 1 bytes.</summary>
    public const int MaxBytes = 63;

    public static string Default { get; } = Shortened(
        Assembly.GetEntryAssembly()?.GetName().Name ?? "dotnet",
        $"@{Environment.MachineName}:{Environment.ProcessId}");

    /// <summary>Whether the application was built for debugging.</summary>
    public static bool IsDebugBuild { get; } = Assembly.GetEntryAssembly()?.GetCustomAttribute<DebuggableAttribute>()?.IsJITOptimizerDisabled == true;

    private static string Shortened(string application, string place)
    {
        // The place tells two processes of one application apart, so it is the application that gives way.
        while (application.Length > 1 && Encoding.UTF8.GetByteCount(application + place) > MaxBytes) application = application[..^1];
        while (Encoding.UTF8.GetByteCount(application + place) > MaxBytes) place = place[1..];
        // A name that was cut in the middle of a surrogate pair is no text.
        if (char.IsHighSurrogate(application[^1])) application = application[..^1];
        return application + (place.Length > 0 && char.IsLowSurrogate(place[0]) ? place[1..] : place);
    }
}
