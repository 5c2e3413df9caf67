namespace JobLocks.Testing.Postgres;

/// <summary>What this machine has to offer in the way of a PostgreSQL. Tests describe a poorer one.</summary>
internal sealed record Machine
{
    public const string ForeignServerVariable = "JOBLOCKS_POSTGRES";

    public string? ForeignServer { get; init; } = Environment.GetEnvironmentVariable(ForeignServerVariable);

    public string SearchPath { get; init; } = Environment.GetEnvironmentVariable("PATH") ?? "";

    public IReadOnlyList<UsualPlace> UsualPlaces { get; init; } = UsualPlace.All;

    public Func<CancellationToken, Task<PostgresBinaries>> Download { get; init; } = PackagedBinaries.DownloadAsync;

    public async Task<PostgresBinaries> FindBinariesAsync(CancellationToken stop)
    {
        if (FindInstalled() is { } installed)
            return installed;

        try
        {
            return await Download(stop);
        }
        catch (Exception reason) when (!stop.IsCancellationRequested)
        {
            throw new InvalidOperationException(
                $"""
                There is no PostgreSQL here. Any one of these three will do:
                1. Set {ForeignServerVariable} to the connection string of a server in which you may create databases,
                   such as Host=localhost;Username=postgres;Password=...
                2. Install PostgreSQL. The folder with initdb must be in PATH or be one of: {string.Join(", ", UsualPlaces)}.
                3. Let the package MysticMind.PostgresEmbed download it, once. It could not: {reason.Message}
                """,
                reason);
        }
    }

    private PostgresBinaries? FindInstalled()
    {
        var inSearchPath = SearchPath
            .Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)
            .Select(static folder => new PostgresBinaries(folder));
        var inUsualPlaces = UsualPlaces
            .SelectMany(static place => place.Installations())
            .OrderByDescending(static found => found.Version)
            .Select(static found => new PostgresBinaries(found.Folder));

        return inSearchPath.Concat(inUsualPlaces).FirstOrDefault(static binaries => binaries.AreComplete);
    }
}
