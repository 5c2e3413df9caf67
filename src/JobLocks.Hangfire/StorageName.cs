using Hangfire;
using Hangfire.Storage;

namespace JobLocks.Hangfire;

/// <summary>
/// The unique name of a storage. It is kept in the storage itself, so that it is the same for every process, whatever its connections and rights are. The
/// location of the storage is recorded beside it: a copy of the storage has another location, and gets a new name. If the name was deleted, a process that
/// knows it writes it again. Thread-safe.
/// </summary>
internal sealed class StorageName(JobStorage storage)
{
    private const string Hash = "joblocks";

    // The field with the random part of the name. The names of earlier versions begin with it, too.
    private const string RandomPartField = "store";

    private const string NameField = "name";

    private static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(10);

    private volatile StoredName? _known;

    /// <summary>Reads the name; writes one if the storage has none.</summary>
    /// <exception cref="Exception">The storage cannot be asked.</exception>
    public string Read()
    {
        using var noTransaction = AmbientTransaction.Suppress();
        using var connection = storage.GetConnection();
        _known = Find(connection) ?? Write(connection);
        return _known.Name;
    }

    /// <summary>
    /// The random part of the name; null before the name was read. Names of earlier versions begin with it: they append the database of the connection
    /// string, which may be missing, or be the name that a pooler gives to it.
    /// </summary>
    public string? RandomPart => _known?.RandomPart;

    /// <summary>The stored name; null if there is none, or if it is the name of another storage, of which this one is a copy.</summary>
    private StoredName? Find(IStorageConnection connection)
    {
        var entries = connection.GetAllEntriesFromHash(Hash) ?? [];
        var recorded = StorageLocation.Recorded(entries);
        var location = StorageInPostgres.LocationOf(storage, recorded);
        if (!entries.TryGetValue(RandomPartField, out var randomPart)) return null;
        // A storage that is not in PostgreSQL has no location to record beside the random part.
        if (location is null) return new(randomPart, entries.GetValueOrDefault(NameField) ?? randomPart, Location: null);
        if (recorded is null || !entries.TryGetValue(NameField, out var name) || !location.IsSameStorageAs(recorded)) return null;

        if (location.MergedWith(recorded) is var now && now != recorded) connection.SetRangeInHash(Hash, now.ToEntries());
        return new(randomPart, name, location);
    }

    private StoredName Write(IStorageConnection connection)
    {
        using var nameLock = connection.AcquireDistributedLock($"{Hash}:{RandomPartField}", LongestWait);
        if (Find(connection) is { } written) return written;

        var entries = connection.GetAllEntriesFromHash(Hash) ?? [];
        var recorded = StorageLocation.Recorded(entries);
        var location = StorageInPostgres.LocationOf(storage, recorded);
        var known = entries.TryGetValue(RandomPartField, out var randomPart) && (recorded is null || location?.IsSameStorageAs(recorded) == true) ? NameFor(randomPart, location)
            // The name was deleted, or overwritten by a copy of another storage.
            : _known is { } before && (before.Location is null || location?.IsSameStorageAs(before.Location) == true) ? before
            : NameFor(Guid.NewGuid().ToString("N"), location);
        connection.SetRangeInHash(Hash, [new(RandomPartField, known.RandomPart), new(NameField, known.Name), .. location?.ToEntries() ?? []]);
        return known;
    }

    private StoredName NameFor(string randomPart, StorageLocation? location) =>
        _known is { } before && string.Equals(before.RandomPart, randomPart, StringComparison.Ordinal) ? before
        : new(randomPart, location is null ? randomPart : $"{randomPart} in {location.Database}.{location.Schema}", location);

    private sealed record StoredName(string RandomPart, string Name, StorageLocation? Location);
}
