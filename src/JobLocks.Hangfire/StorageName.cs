using Hangfire;
using Hangfire.Storage;

namespace JobLocks.Hangfire;

/// <summary>
/// What tells a storage from all others. The storage keeps its name itself, so that it is the same for every process, whatever its connections and rights
/// are. It notes its place beside that: a copy of the storage is in another place, and is named anew. Where the name was deleted, a process that knows it
/// writes it down again. Thread-safe.
/// </summary>
internal sealed class StorageName(JobStorage storage)
{
    private const string Hash = "joblocks";

    // Part of the name, and of the names that earlier versions gave.
    private const string MarkField = "store";

    private const string NameField = "name";

    private static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(10);

    private volatile Known? _known;

    /// <summary>Reads it.</summary>
    /// <exception cref="Exception">The storage cannot be asked.</exception>
    public string Read()
    {
        using var outside = AmbientTransaction.Leave();
        using var connection = storage.GetConnection();
        _known = Find(connection) ?? Write(connection);
        return _known.Name;
    }

    /// <summary>
    /// What the names begin with that earlier versions of this package gave to the storage: they added what a connection string says of the database, which may
    /// be nothing, or a pooler's name for it. Null before the name was read.
    /// </summary>
    public string? Mark => _known?.Mark;

    /// <summary>The name that the storage has; null where it has none, or has that of another storage.</summary>
    private Known? Find(IStorageConnection connection)
    {
        var entries = connection.GetAllEntriesFromHash(Hash) ?? [];
        var noted = StoragePlace.Noted(entries);
        var place = StorageInPostgres.PlaceOf(storage, noted);
        if (!entries.TryGetValue(MarkField, out var mark)) return null;
        // Without a place there is nothing that could be noted beside the mark.
        if (place is null) return new(mark, entries.GetValueOrDefault(NameField) ?? mark, Place: null);
        if (noted is null || !entries.TryGetValue(NameField, out var name) || !place.IsPlaceOf(noted)) return null;

        if (place.After(noted) is var now && now != noted) connection.SetRangeInHash(Hash, now.ToEntries());
        return new(mark, name, place);
    }

    private Known Write(IStorageConnection connection)
    {
        using var alone = connection.AcquireDistributedLock($"{Hash}:{MarkField}", LongestWait);
        if (Find(connection) is { } written) return written;

        var entries = connection.GetAllEntriesFromHash(Hash) ?? [];
        var noted = StoragePlace.Noted(entries);
        var place = StorageInPostgres.PlaceOf(storage, noted);
        var known = entries.TryGetValue(MarkField, out var mark) && (noted is null || place?.IsPlaceOf(noted) == true) ? Named(mark, place)
            // Deleted, or overwritten by the copy of another storage.
            : _known is { } before && (before.Place is null || place?.IsPlaceOf(before.Place) == true) ? before
            : Named(Guid.NewGuid().ToString("N"), place);
        connection.SetRangeInHash(Hash, [new(MarkField, known.Mark), new(NameField, known.Name), .. place?.ToEntries() ?? []]);
        return known;
    }

    private Known Named(string mark, StoragePlace? place) =>
        _known is { } before && string.Equals(before.Mark, mark, StringComparison.Ordinal) ? before
        : new(mark, place is null ? mark : $"{mark} in {place.Database}.{place.Schema}", place);

    private sealed record Known(string Mark, string Name, StoragePlace? Place);
}
