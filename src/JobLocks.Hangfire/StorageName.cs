using System.Text.RegularExpressions;
using Hangfire;
using Hangfire.Storage;

namespace JobLocks.Hangfire;

/// <summary>
/// What tells a storage from all others: a mark that it keeps itself, since two connection strings may lead to one storage, and the database in which it
/// is, since a copy has the same mark. Where the mark was deleted, a process that knows it writes it down again. Thread-safe.
/// </summary>
internal sealed partial class StorageName(JobStorage storage)
{
    private const string Hash = "joblocks";
    private const string Field = "store";

    private static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(10);

    private volatile string? _mark;

    /// <summary>Reads it.</summary>
    /// <exception cref="Exception">The storage cannot be asked.</exception>
    public string Read()
    {
        using var outside = AmbientTransaction.Leave();
        using var connection = storage.GetConnection();
        var mark = Read(connection) ?? Write(connection);
        _mark = mark;
        return Place() is { } place ? $"{mark} in {place}" : mark;
    }

    private string Write(IStorageConnection connection)
    {
        using var alone = connection.AcquireDistributedLock($"{Hash}:{Field}", LongestWait);
        if (Read(connection) is { } written) return written;

        var mark = _mark ?? Guid.NewGuid().ToString("N");
        connection.SetRangeInHash(Hash, [new(Field, mark)]);
        return mark;
    }

    private static string? Read(IStorageConnection connection) =>
        connection.GetAllEntriesFromHash(Hash) is { } entries && entries.TryGetValue(Field, out var mark) ? mark : null;

    /// <summary>Database and schema, as Hangfire.PostgreSql says them for its log; null for other storages. Not the host, which has several names.</summary>
    private string? Place() => storage.ToString() is { } text && Location().Match(text) is { Success: true } found ? $"{found.Groups["database"]}.{found.Groups["schema"]}" : null;

    [GeneratedRegex("^PostgreSQL Server: Host: .*, DB: (?<database>.*), Schema: (?<schema>.*)$", RegexOptions.ExplicitCapture | RegexOptions.Singleline, matchTimeoutMilliseconds: 100)]
    private static partial Regex Location();
}
