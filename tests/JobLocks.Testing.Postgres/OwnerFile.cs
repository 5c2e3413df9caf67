using System.Globalization;
using System.Text;

namespace JobLocks.Testing.Postgres;

/// <summary>
/// Says whose a folder is: the process that holds this file locked. The operating system lets go of the lock when that
/// process ends, however it ends; a process id could by then belong to somebody else, or to another container.
/// </summary>
internal sealed class OwnerFile : IDisposable
{
    private const string Name = "owner";

    private static readonly TimeSpan TimeToLock = TimeSpan.FromMinutes(1);

    private readonly FileStream _held;

    private OwnerFile(FileStream held) => _held = held;

    public static OwnerFile Write(string folder)
    {
        var file = Open(folder, FileMode.CreateNew);

        // A file that is written is a file that was locked before: see TryTakeOver. The number is for people to read.
        file.Write(Encoding.ASCII.GetBytes(Environment.ProcessId.ToString(CultureInfo.InvariantCulture)));
        file.Flush();
        return new(file);
    }

    /// <summary>Becomes the owner where the owner is gone. Of several who try at once, one succeeds.</summary>
    public static OwnerFile? TryTakeOver(string folder)
    {
        var written = new FileInfo(Path.Combine(folder, Name)) is { Exists: true, Length: > 0 };
        if (!written && DateTime.UtcNow - Directory.GetLastWriteTimeUtc(folder) < TimeToLock)
            return null;

        try
        {
            return new(Open(folder, FileMode.OpenOrCreate));
        }
        catch (Exception reason) when (reason is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    public void Dispose() => _held.Dispose();

    private static FileStream Open(string folder, FileMode mode) =>
        new(Path.Combine(folder, Name), mode, FileAccess.ReadWrite, FileShare.None);
}
