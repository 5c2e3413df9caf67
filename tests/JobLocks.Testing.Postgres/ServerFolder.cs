namespace JobLocks.Testing.Postgres;

/// <summary>The temporary folder of one server, and whose it is.</summary>
internal sealed class ServerFolder : IDisposable
{
    private const string Prefix = "joblocks-postgres-";

    private readonly OwnerFile _owner;

    private ServerFolder(string path, OwnerFile owner)
    {
        Path = path;
        _owner = owner;
    }

    public string Path { get; }

    public string Data => System.IO.Path.Combine(Path, "data");

    /// <summary>Within the data, since that is the one folder where the account of the server may write.</summary>
    public string Log => System.IO.Path.Combine(Data, "server.log");

    public static ServerFolder Create()
    {
        var path = Directory.CreateTempSubdirectory(Prefix).FullName;
        return new(path, OwnerFile.Write(path));
    }

    /// <summary>The folders whose owner is gone. They belong to the caller from now on.</summary>
    public static IEnumerable<ServerFolder> TakeOverAbandoned()
    {
        foreach (var path in Directory.EnumerateDirectories(System.IO.Path.GetTempPath(), Prefix + "*"))
        {
            if (OwnerFile.TryTakeOver(path) is { } owner)
                yield return new(path, owner);
        }
    }

    public string ReadLog() => File.Exists(Log) ? File.ReadAllText(Log) : "";

    /// <summary>A temporary folder is closed to every account but ours; the data in it may belong to another one.</summary>
    public void LetOthersPass()
    {
        if (!OperatingSystem.IsWindows())
            File.SetUnixFileMode(Path, File.GetUnixFileMode(Path) | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute);
    }

    /// <summary>Deletes all of it. What cannot be deleted is left to the next start.</summary>
    public async Task DeleteAsync()
    {
        // Windows holds on to the files of a process for a moment after its end.
        for (var patience = OperatingSystem.IsWindows() ? 40 : 0; !TryDelete() && patience > 0; patience--)
            await Task.Delay(TimeSpan.FromMilliseconds(50));

        Dispose();
    }

    /// <summary>Lets go of the folder, as the end of this process would.</summary>
    public void Dispose() => _owner.Dispose();

    private bool TryDelete()
    {
        try
        {
            if (Directory.Exists(Data))
                Directory.Delete(Data, recursive: true);

            // Only now, with nothing of worth in it: Windows does not delete a file that is open.
            _owner.Dispose();
            Directory.Delete(Path, recursive: true);
            return true;
        }
        catch (DirectoryNotFoundException)
        {
            return true;
        }
        catch (Exception reason) when (reason is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }
}
