using MysticMind.PostgresEmbed;

namespace JobLocks.Testing.Postgres;

/// <summary>The PostgreSQL that a NuGet package downloads, once per machine, and keeps.</summary>
internal static class PackagedBinaries
{
    private const string Version = "17";

    public static async Task<PostgresBinaries> DownloadAsync(CancellationToken stop)
    {
        await using var package = new PgServer(new PgServerOptions { PgVersion = Version, BinariesDir = Path.Combine(Cache(), "binaries") });
        await package.InstallAsync(stop);
        return new(Path.Combine(package.InstallDir, "bin"));
    }

    // The package's own choice is a folder below the home of root, where the account that runs the server instead must not look.
    private static string Cache() =>
        UnixAccount.WeAreRoot && !PgCache.IsConfigured ? "/var/cache/joblocks-postgres" : PgCache.DefaultDirectory;
}
