using System.Globalization;
using JobLocks.Inspection;
using JobLocks.Postgres.Locks;
using JobLocks.Postgres.WaitQueue;
using JobLocks.Primitives;
using Microsoft.Extensions.Logging;
using static JobLocks.Postgres.Reading.InspectionParameters;
using static JobLocks.Postgres.Reading.InspectionRows;

namespace JobLocks.Postgres.Reading;

/// <inheritdoc/>
internal sealed class LockInspector : IPageInspector
{
    private const int LargestPage = 100;

    // A viewer can load a page again, so a page waits only for a short time for a connection. Code waits longer.
    private static readonly TimeSpan PageTimeout = TimeSpan.FromMilliseconds(300);
    private static readonly TimeSpan CodeTimeout = TimeSpan.FromSeconds(10);

    private readonly JobLocksOptions _options;
    private readonly InspectionReader _reader;
    private readonly InspectionRows _rows;
    private readonly OverviewReading _overview;
    private readonly NameReading _names;
    private readonly ReleaseRequests _releases;

    public LockInspector(LockDispatcher dispatcher, PooledStatements statements, ForeignInternalLocks internalLocks, JobLocksOptions options, ILogger log)
        : this(dispatcher, internalLocks, options, log, new(dispatcher, statements, options, new(dispatcher.Server), CodeTimeout)) =>
        Pages = new(new LockInspector(dispatcher, internalLocks, options, log, _reader.WithTimeout(PageTimeout)));

    private LockInspector(LockDispatcher dispatcher, ForeignInternalLocks internalLocks, JobLocksOptions options, ILogger log, InspectionReader reader)
    {
        _options = options;
        _reader = reader;
        _rows = new(dispatcher);
        _overview = new(dispatcher, reader, _rows, internalLocks);
        _names = new(_rows);
        _releases = new(reader, options, log);
        Pages = new(this);
    }

    /// <summary>This inspection for the pages of this process. It fails soon where no connection is free.</summary>
    public PageReadings Pages { get; }

    public async Task<LockPage<HeldLock>> GetHeldAsync(int skip = 0, int take = LargestPage, CancellationToken stop = default)
    {
        CheckPage(skip, take);
        return NameReading.PageOf(await _reader.QueryAsync(InspectionSql.Held, row => _rows.ReadHeld(row), stop, Number(skip), Number(take)).ConfigureAwait(false));
    }

    public async Task<LockPage<WaitingName>> GetWaitingAsync(int skip = 0, int take = LargestPage, CancellationToken stop = default)
    {
        CheckPage(skip, take);
        return NameReading.PageOf(await _reader.QueryAsync(InspectionSql.Waiting, _rows.ReadWaiting, stop, Number(skip), Number(take)).ConfigureAwait(false));
    }

    public async Task<LockPage<QueuedRun>> GetWaitingAsync(LockKey key, int skip = 0, int take = LargestPage, CancellationToken stop = default)
    {
        CheckPage(skip, take);
        return await NameReading.ReadQueueAsync(_reader, key, skip, take, stop).ConfigureAwait(false);
    }

    public async Task<IReadOnlyList<LockMatch>> FindAsync(string text, CancellationToken stop = default)
    {
        ArgumentNullException.ThrowIfNull(text);

        var searchText = text.Trim().Replace('\0', '\uFFFD');
        if (searchText.Length == 0) return [];

        var number = long.TryParse(searchText, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var parsed) ? parsed : (long?)null;
        var (found, _) = await _reader.QuerySchemaAsync(
            InspectionSql.Find,
            static row => new LockMatch(new(row.GetInt64(0)), Name(row, 1), DisplayText.Cut(row.GetString(2), DisplayText.LongestRun)),
            stop,
            Text($"%{EscapeLikePattern(searchText)}%"),
            Key(number is { } given ? new(given) : KeyOf(searchText)),
            Key(KeyOf(searchText)),
            Text(searchText)).ConfigureAwait(false);
        // A number without a match may be a key whose name is not recorded. Matches have precedence, since a number is mostly the id of a job.
        return number is { } key && found.Count == 0 ? [new(new(key), null, "key")] : found;
    }

    public Task<string?> ExplainAsync(string run, CancellationToken stop = default) => ExplainAsync(run, store: null, stop);

    /// <inheritdoc cref="IJobLockInspector.ExplainAsync"/>
    /// <param name="run">The run as its store names it.</param>
    /// <param name="store">The store; null where it is not known.</param>
    /// <param name="stop">Cancels the call.</param>
    public Task<string?> ExplainAsync(string run, string? store, CancellationToken stop)
    {
        ArgumentException.ThrowIfNullOrEmpty(run);

        return NameReading.ExplainAsync(_reader, run, store, ReadHoldersAsync, stop);

        Task<IReadOnlyList<HeldLock>> ReadHoldersAsync(LockKey key) => _names.ReadHeldOfKeyAsync(_reader, key, stop);
    }

    public async Task<LockOverview> GetOverviewAsync(CancellationToken stop = default) => (await _overview.ReadAsync(0, 0, 0, stop).ConfigureAwait(false)).Overview;

    public Task<LockSnapshot> GetSnapshotAsync(int heldSkip = 0, int waitingSkip = 0, int take = LargestPage, CancellationToken stop = default)
    {
        CheckPage(heldSkip, take);
        CheckPage(waitingSkip, take);
        return _overview.ReadAsync(heldSkip, waitingSkip, take, stop);
    }

    public Task<NamedLock> GetNameAsync(LockKey key, CancellationToken stop = default) => GetNameAsync(key, 0, LargestPage, run: null, stop);

    public Task<NamedLock> GetNameAsync(LockKey key, int skip, int take, string? run = null, CancellationToken stop = default)
    {
        CheckPage(skip, take);
        return _reader.InOneSnapshotAsync(snapshot => _names.ReadAsync(snapshot, key, skip, take, run, stop), stop);
    }

    public Task<ReleaseAnswer> RequestReleaseAsync(LockKey key, string by, TimeSpan? atMost = null, CancellationToken stop = default) =>
        _releases.RequestReleaseAsync(key, nameKey: null, by, atMost, stop);

    public Task<ReleaseAnswer> RequestReleaseAsync(LockKey nameKey, LockKey slotKey, string by, TimeSpan? atMost, CancellationToken stop) =>
        _releases.RequestReleaseAsync(slotKey, nameKey, by, atMost, stop);

    public Task<bool> EndSessionAsync(int backend, string by, CancellationToken stop = default) => _releases.EndSessionAsync(backend, by, stop);

    private static void CheckPage(int skip, int take)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(skip);
        ArgumentOutOfRangeException.ThrowIfLessThan(take, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(take, LargestPage);
    }

    private LockKey KeyOf(string text)
    {
        try
        {
            return LockKey.Of(Naming.LockScope.Apply(_options.Scope, text));
        }
        catch (ArgumentException)
        {
            // Half of a surrogate pair cannot be a name.
            return default;
        }
    }

    private static string EscapeLikePattern(string text) => text
        .Replace(@"\", @"\\", StringComparison.Ordinal).Replace("%", @"\%", StringComparison.Ordinal).Replace("_", @"\_", StringComparison.Ordinal);
}
