using System.Globalization;
using JobLocks.Line;
using JobLocks.Postgres;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace JobLocks.Inspection;

/// <inheritdoc/>
internal sealed partial class LockInspector(LockDesk desk, LineStatements statements, JobLocksOptions options, ILogger log) : IJobLockInspector
{
    private const int LargestPage = 100;
    private const int MostPressed = 10;

    public async Task<LockOverview> GetOverviewAsync(CancellationToken stop = default)
    {
        var processes = AskAsync(
            LookSql.Processes, row => (At: Instant(row, 0)!.Value, Held: row.GetInt64(1), Process: row.IsDBNull(2) ? null : ReadProcess(row)), stop);
        var waiting = AskAsync(LookSql.Waiting, row => (Name: ReadWaiting(row), Runs: row.GetInt64(18)), stop, Number(0), Number(MostPressed));
        var (seen, hasNames) = await processes.ConfigureAwait(false);
        var (lines, _) = await waiting.ConfigureAwait(false);
        return new(
            seen[0].At,
            seen[0].Held,
            lines[0].Runs,
            [.. seen.Select(static one => one.Process).OfType<LockProcess>()],
            [.. lines.Select(static one => one.Name.Item).OfType<WaitingName>()],
            hasNames);
    }

    public async Task<LockPage<HeldLock>> GetHeldAsync(int skip = 0, int take = LargestPage, CancellationToken stop = default)
    {
        CheckPage(skip, take);
        return Page(await AskAsync(LookSql.Held, ReadHeld, stop, Number(skip), Number(take)).ConfigureAwait(false));
    }

    public async Task<LockPage<WaitingName>> GetWaitingAsync(int skip = 0, int take = LargestPage, CancellationToken stop = default)
    {
        CheckPage(skip, take);
        return Page(await AskAsync(LookSql.Waiting, ReadWaiting, stop, Number(skip), Number(take)).ConfigureAwait(false));
    }

    public async Task<LockPage<RunInLine>> GetWaitingAsync(LockKey key, int skip = 0, int take = LargestPage, CancellationToken stop = default)
    {
        CheckPage(skip, take);
        return Page(await AskSchemaAsync(LookSql.Line, row => ReadJob(row, key), stop, Key(key), Number(skip), Number(take)).ConfigureAwait(false));
    }

    public async Task<NamedLock> GetNameAsync(LockKey key, CancellationToken stop = default)
    {
        var held = Page(await AskAsync(LookSql.HeldUnder, ReadHeld, stop, Key(key)).ConfigureAwait(false)).Items;
        var waiting = await GetWaitingAsync(key, 0, LargestPage, stop).ConfigureAwait(false);
        var (names, _) = await AskSchemaAsync(
            LookSql.Name,
            static row => (Name: Name(row, 0), Runs: row.GetInt64(1), Usual: Usual(row, 1), Refused: row.GetInt64(3), Waited: row.GetInt64(4)),
            stop,
            Key(key)).ConfigureAwait(false);
        var (minutes, _) = await AskSchemaAsync(
            LookSql.Minutes,
            static row => new LockMinute(Instant(row, 0)!.Value, row.GetInt64(1), TimeSpan.FromSeconds(row.GetDouble(2)), row.GetInt64(3), row.GetInt64(4)),
            stop,
            Key(key)).ConfigureAwait(false);
        var known = names.FirstOrDefault();
        var name = known.Name ?? held.Select(static one => one.Name).OfType<string>().FirstOrDefault() ?? waiting.Items.Select(static one => one.Name).FirstOrDefault();
        return new(key, name, held, waiting, known.Runs, known.Usual, known.Refused, known.Waited, minutes);
    }

    public async Task<IReadOnlyList<LockMatch>> FindAsync(string text, CancellationToken stop = default)
    {
        ArgumentNullException.ThrowIfNull(text);

        var wanted = text.Trim().Replace('\0', '\uFFFD');
        if (wanted.Length == 0) return [];

        var number = long.TryParse(wanted, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var parsed) ? parsed : (long?)null;
        var (found, _) = await AskSchemaAsync(
            LookSql.Find,
            static row => new LockMatch(new(row.GetInt64(0)), Name(row, 1), Shown.Cut(row.GetString(2), Shown.LongestRun)),
            stop,
            Text($"%{Escaped(wanted)}%"),
            Key(number is { } given ? new(given) : KeyOf(wanted)),
            Key(KeyOf(wanted)),
            Text(wanted)).ConfigureAwait(false);
        // A key is worth a look even where nobody has written down its name. But a number is mostly the id of a job.
        return number is { } key && found.Count == 0 ? [new(new(key), null, "key")] : found;
    }

    public Task<string?> ExplainAsync(string run, CancellationToken stop = default) => ExplainAsync(run, store: null, stop);

    /// <inheritdoc cref="IJobLockInspector.ExplainAsync"/>
    /// <param name="run">The run as its store names it.</param>
    /// <param name="store">The store; null where it is not known.</param>
    /// <param name="stop">Gives up.</param>
    public async Task<string?> ExplainAsync(string run, string? store, CancellationToken stop)
    {
        ArgumentException.ThrowIfNullOrEmpty(run);

        var wanted = run.Replace('\0', '\uFFFD');
        var (stands, _) = await AskSchemaAsync(
            LookSql.Stands,
            static row => new StandingRun(
                new(row.GetInt64(0)), row.GetString(1), Instant(row, 2)!.Value, Instant(row, 3), row.GetInt64(4) + 1, row.GetInt64(5), Usual(row, 6)),
            stop,
            Text(wanted),
            TextOrNull(store)).ConfigureAwait(false);
        if (stands is [var standing])
            return standing.Explain(Page(await AskAsync(LookSql.HeldUnder, ReadHeld, stop, Key(standing.Key)).ConfigureAwait(false)).Items);

        var (has, _) = await AskAsync(LookSql.Has, static row => (Name: row.GetString(0), Since: Instant(row, 1)!.Value), stop, Text(Shown.OneLine(run)), TextOrNull(store))
            .ConfigureAwait(false);
        return has is [var held] ? $"holds {Shown.Name(held.Name)} since {Shown.Instant(held.Since)}" : null;
    }

    /// <summary>Asks, and says whether the schema could be read.</summary>
    private async Task<(List<T> Rows, bool HasSchema)> AskAsync<T>(string sql, Func<NpgsqlDataReader, T> read, CancellationToken stop, params NpgsqlParameter[] parameters)
    {
        if (options.Schema is not null)
        {
            try
            {
                return (await ReadAsync(sql, read, parameters, stop).ConfigureAwait(false), true);
            }
            catch (PostgresException unread) when (IsAboutSchema(unread))
            {
                // It is not there yet, or not ours to read.
            }
        }

        try
        {
            return (await ReadAsync(LookSql.WithoutSchema(sql), read, [.. parameters.Select(static one => one.Clone())], stop).ConfigureAwait(false), false);
        }
        catch (PostgresException denied) when (string.Equals(denied.SqlState, PostgresErrorCodes.InsufficientPrivilege, StringComparison.Ordinal))
        {
            throw new UnauthorizedAccessException($"This role may not do that: {denied.MessageText}. Ending a session of another role needs pg_signal_backend.", denied);
        }
    }

    /// <summary>Asks what only the schema knows: nothing where it cannot be read.</summary>
    private async Task<(List<T> Rows, bool HasSchema)> AskSchemaAsync<T>(string sql, Func<NpgsqlDataReader, T> read, CancellationToken stop, params NpgsqlParameter[] parameters)
    {
        if (options.Schema is null) return ([], false);

        try
        {
            return (await ReadAsync(sql, read, parameters, stop).ConfigureAwait(false), true);
        }
        catch (PostgresException unread) when (IsAboutSchema(unread))
        {
            return ([], false);
        }
    }

    private async Task<List<T>> ReadAsync<T>(string sql, Func<NpgsqlDataReader, T> read, NpgsqlParameter[] parameters, CancellationToken stop)
    {
        try
        {
            return await statements.ReadAsync(sql, read, blocks: false, stop, parameters).ConfigureAwait(false);
        }
        catch (Exception trouble) when (trouble is TimeoutException || (trouble is NpgsqlException && !IsAboutSchema(trouble)))
        {
            throw ServerTrouble.Describe(desk.Server, trouble);
        }
    }

    private static bool IsAboutSchema(Exception thrown) => (thrown as PostgresException)?.SqlState
        is PostgresErrorCodes.UndefinedTable or PostgresErrorCodes.InvalidSchemaName or PostgresErrorCodes.InsufficientPrivilege or PostgresErrorCodes.UndefinedColumn;

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
            return LockKey.Of(Naming.LockScope.Apply(options.Scope, text));
        }
        catch (ArgumentException)
        {
            // Half of a surrogate pair is no name.
            return default;
        }
    }

    private static string Escaped(string text) => text
        .Replace(@"\", @"\\", StringComparison.Ordinal).Replace("%", @"\%", StringComparison.Ordinal).Replace("_", @"\_", StringComparison.Ordinal);

    private static NpgsqlParameter<int> Number(int value) => new NpgsqlParameter<int> { TypedValue = value };

    private static NpgsqlParameter<long> Key(LockKey key) => new NpgsqlParameter<long> { TypedValue = key.Value };

    private static NpgsqlParameter TextOrNull(string? value) => new() { NpgsqlDbType = NpgsqlTypes.NpgsqlDbType.Text, Value = value ?? (object)DBNull.Value };

    private static NpgsqlParameter<string> Text(string value) => new NpgsqlParameter<string> { TypedValue = value };
}
