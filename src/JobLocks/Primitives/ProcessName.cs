using System.Diagnostics;
using System.Reflection;
using System.Text;

namespace JobLocks.Primitives;

/// <summary>The default name of this process as the holder of locks.</summary>
internal static class ProcessName
{
    /// <summary>PostgreSQL truncates an application name after NAMEDATALEN - 1 bytes.</summary>
    public const int MaxBytes = 63;

    /// <summary>Entry assembly, machine and process id, shortened to <see cref="MaxBytes"/>: <c>ClientSync@web-3:812</c>.</summary>
    public static string Default { get; } = Shortened(
        Assembly.GetEntryAssembly()?.GetName().Name ?? "dotnet",
        $"@{Environment.MachineName}:{Environment.ProcessId}");

    /// <summary>Whether the entry assembly was built without optimisation.</summary>
    public static bool IsDebugBuild { get; } = Assembly.GetEntryAssembly()?.GetCustomAttribute<DebuggableAttribute>()?.IsJITOptimizerDisabled == true;

    private static string Shortened(string application, string suffix)
    {
        // The suffix distinguishes two processes of one application, so the application name is shortened first.
        while (application.Length > 1 && Encoding.UTF8.GetByteCount(application + suffix) > MaxBytes) application = application[..^1];
        while (Encoding.UTF8.GetByteCount(application + suffix) > MaxBytes) suffix = suffix[1..];
        // Remove half of a surrogate pair where the cut has split one.
        if (char.IsHighSurrogate(application[^1])) application = application[..^1];
        return application + (suffix.Length > 0 && char.IsLowSurrogate(suffix[0]) ? suffix[1..] : suffix);
    }
}
