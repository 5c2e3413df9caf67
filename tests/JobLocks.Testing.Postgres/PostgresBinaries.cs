namespace JobLocks.Testing.Postgres;

/// <summary>The folder with the programs of one PostgreSQL.</summary>
internal sealed record PostgresBinaries(string Folder)
{
    /// <summary>Client packages bring psql alone, so a folder counts only with all that a server takes.</summary>
    public bool AreComplete => File.Exists(Program("initdb")) && File.Exists(Program("pg_ctl")) && File.Exists(Program("postgres"));

    public string Program(string name) => Path.Combine(Folder, OperatingSystem.IsWindows() ? name + ".exe" : name);
}
