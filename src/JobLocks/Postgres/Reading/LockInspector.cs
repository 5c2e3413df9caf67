using System.Globalization;
using JobLocks.Inspection;
using JobLocks.Postgres.Locks;
using JobLocks.Postgres.WaitQueue;
using JobLocks.Primitives;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace JobLocks.Postgres.Reading;

/// <inheritdoc/>
internal sealed partial class LockInspector : IPageInspector
{
    private const int LargestPage = 100;
    private const int MaxContendedNames = 10;

    // A person can load a page again. Code has no such button, so it waits longer for a connection.
    private static readonly TimeSpan PageTimeout = TimeSpan.FromMilliseconds(300);
    private static readonly TimeSpan CodeTimeout = TimeSpan.FromSeconds(10);

    private readonly LockDispatcher _dispatcher;
    private readonly InternalLocks _internalLocks;
    private readonly JobLocksOptions _options;
    private readonly ILogger _log;
    private readonly InspectionReader _reader;

    public LockInspector(LockDispatcher dispatcher, WaitQueueStatements statements, InternalLocks internalLocks, JobLocksOptions options, ILogger log)
        : this(dispatcher, internalLocks, options, log, new(dispatcher, statements, options, new(dispatcher.Server), CodeTimeout)) =>
        Pages = new(new LockInspector(dispatcher, internalLocks, options, log, _reader.With(PageTimeout)));

    private LockInspector(LockDispatcher dispatcher, InternalLocks internalLocks, JobLocksOptions options, ILogger log, InspectionReader reader)
    {
        _dispatcher = dispatcher;
        _internalLocks = internalLocks;
        _options = options;
        _log = log;
        _reader = reader;
        Pages = new(this);
    }

    /// <summary>This inspection for the pages of this process. It fails soon where no connection is free.</summary>
    public PageReadings Pages { get; }

    public async Task<LockPage<HeldLock>> GetHeldAsync(int skip = 0, int take = LargestPage, CancellationToken stop = default)
    {
        CheckPage(skip, take);
        return Page(await _reader.QueryAsync(InspectionSql.Held, row => ReadHeld(row), stop, Number(skip), Number(take)).ConfigureAwait(false));
    }

    public async Task<LockPage<WaitingName>> GetWaitingAsync(int skip = 0, int take = LargestPage, CancellationToken stop = default)
    {
        CheckPage(skip, take);
        return Page(await _reader.QueryAsync(InspectionSql.Waiting, ReadWaiting, stop, Number(skip), Number(take)).ConfigureAwait(false));
    }

    public async Task<LockPage<QueuedRun>> GetWaitingAsync(LockKey key, int skip = 0, int take = LargestPage, CancellationToken stop = default)
    {
        CheckPage(skip, take);
        return await ReadQueueAsync(_reader, key, skip, take, stop).ConfigureAwait(false);
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

        return ExplainAsync(_reader, run, store, ReadHoldersAsync, stop);

        Task<IReadOnlyList<HeldLock>> ReadHoldersAsync(LockKey key) => ReadHeldOfKeyAsync(_reader, key, stop);
    }

    private static void CheckPage(int skip, int take)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(skip);
        ArgumentOutOfRangeException.ThrowIfLessThan(take, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(take, LargestPage);
    }

    private static LockPage<T> Page<T>((List<(long Total, T? Item)> Rows, bool HasSchema) read)
        where T : class => read.Rows.Count == 0 ? new([], 0) : new([.. read.Rows.Select(static row => row.Item).OfType<T>()], read.Rows[0].Total);

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

    private static NpgsqlParameter<int> Number(int value) => new NpgsqlParameter<int> { TypedValue = value };

    private static NpgsqlParameter<long> Key(LockKey key) => new NpgsqlParameter<long> { TypedValue = key.Value };

    private static NpgsqlParameter TextOrNull(string? value) => new() { NpgsqlDbType = NpgsqlTypes.NpgsqlDbType.Text, Value = value ?? (object)DBNull.Value };

    private static NpgsqlParameter<string> Text(string value) => new NpgsqlParameter<string> { TypedValue = value };
}
