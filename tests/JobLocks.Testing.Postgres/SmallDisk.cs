namespace JobLocks.Testing.Postgres;

/// <summary>A file system of a few megabytes in memory, for a tablespace that a test fills. Only root on Linux may mount one.</summary>
internal sealed class SmallDisk : IAsyncDisposable
{
    private SmallDisk(string path) => Path = path;

    /// <summary>Where it is mounted.</summary>
    public string Path { get; }

    /// <param name="megabytes">Its size.</param>
    /// <param name="dataFolder">The data folder of the server that writes there: its owner becomes the owner of the file system.</param>
    /// <param name="stop">Gives up, and leaves nothing behind.</param>
    /// <exception cref="NotSupportedException">This process may not mount one.</exception>
    public static async Task<SmallDisk> MountAsync(int megabytes, string dataFolder, CancellationToken stop)
    {
        if (!OperatingSystem.IsLinux() || !UnixAccount.WeAreRoot) throw new NotSupportedException("Only root on Linux may mount a tmpfs.");

        var disk = new SmallDisk(Directory.CreateTempSubdirectory("joblocks-disk-").FullName);
        try
        {
            await disk.RunAsync(["mount", "-t", "tmpfs", "-o", $"size={megabytes}m,mode=700", "tmpfs", disk.Path], stop);
            await disk.RunAsync(["chown", $"--reference={dataFolder}", disk.Path], stop);
            return disk;
        }
        catch
        {
            await disk.DisposeAsync();
            throw;
        }
    }

    /// <summary>Unmounts it, also where a file in it is still open.</summary>
    public async ValueTask DisposeAsync()
    {
        // Fails where the mount has failed.
        await ProgramEnd.OfAsync(["umount", "-l", Path], System.IO.Path.GetTempPath(), CancellationToken.None);
        Directory.Delete(Path);
    }

    private async Task RunAsync(string[] command, CancellationToken stop)
    {
        var end = await ProgramEnd.OfAsync(command, System.IO.Path.GetTempPath(), stop);
        if (end.Failed) throw new NotSupportedException($"A tmpfs cannot be mounted here. {string.Join(' ', command)}: {await end.OutputAsync(stop)}");
    }
}
