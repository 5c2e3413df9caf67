using JobLocks.Diagnostics;
using JobLocks.Locks;
using JobLocks.Postgres.Locks;
using JobLocks.Postgres.WaitQueue;
using JobLocks.Primitives;
using Microsoft.Extensions.Logging;

namespace JobLocks.Postgres.Reading;

/// <summary>
/// Writes the read model: which runs hold a lock for longer than a moment, and the statistics of each name. The lock session writes in bulk while it is not
/// busy with locks: no run waits for the result, and no connection is opened. Also delivers release requests to the holders of this process, and runs
/// <see cref="InternalLockWatch"/>. Thread-safe.
/// </summary>
internal sealed class ReadModelWriter : IDisposable
{
    /// <summary>A lock that is held for a shorter time is not written.</summary>
    public static readonly TimeSpan MinRecordedHold = TimeSpan.FromMilliseconds(250);

    /// <summary>The longest time from a release until its row is written: 2 s between two writes, and 1 s for the write.</summary>
    public static readonly TimeSpan LongestDelay = TimeSpan.FromSeconds(3);

    private const int MaxNames = 10_000;

    // Chunks of statistics that could not be written yet.
    private const int MaxUnwrittenChunks = 100;

    // Writing this number of names and runs takes a few milliseconds. Lock requests wait for that.
    private const int MaxRowsAtOnce = 200;

    // Deleting this number of runs takes a few milliseconds.
    private const int MaxForgottenRuns = 1_000;

    private static readonly TimeSpan RequestCheckInterval = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan StatisticsInterval = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan TableCheckInterval = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan TrimInterval = TimeSpan.FromMinutes(1);

    private readonly LockDispatcher _dispatcher;
    private readonly InternalLockWatch _internalLockWatch;
    private readonly JobLocksOptions _options;
    private readonly ILogger _log;
    private readonly RepeatingThread _thread;
    // The fields from here on: used by _thread, and by the executor only while _thread waits for it.
    private readonly Dictionary<LockGrant, long> _writtenRows = [];
    private readonly Queue<NameStatistics[]> _unwrittenStatistics = [];
    private long _lastRow;
    private int _backend;
    private TimeSpan _requestsCheckedAt;
    private TimeSpan _statisticsWrittenAt;
    private TimeSpan _trimmedAt;
    private bool _mayForgetRuns;
    private TimeSpan _tablesCheckedAt;
    private volatile bool _isBroken;
    private TimeSpan _pausedUntil;

    public ReadModelWriter(LockDispatcher dispatcher, InternalLockWatch internalLockWatch, JobLocksOptions options, ILogger log)
    {
        _dispatcher = dispatcher;
        _internalLockWatch = internalLockWatch;
        _options = options;
        _log = log;
        _thread = new("JobLocks read model", MinRecordedHold, WriteUnlessPaused, WriteLastStatistics);
    }

    private bool HasTimeline => _dispatcher.Sessions.Capabilities.HasTimeline;

    /// <summary>Whether the last write failed.</summary>
    public bool IsBroken => _isBroken;

    /// <summary>A session is open. It is registered at once, so that other processes do not list it as a foreign session.</summary>
    public void Start() => _thread.Start(atOnce: true);

    public void Dispose() => _thread.Dispose();

    /// <summary>The session is about to close, and the rows of its locks then count as outdated. So only the statistics are written.</summary>
    private void WriteLastStatistics()
    {
        if (_dispatcher.Sessions.Capabilities.HasReadModel) Try(WriteStatistics);
    }

    private void WriteUnlessPaused()
    {
        // While a table is locked, each attempt delays acquire requests by a tenth of a second.
        if (BootClock.Now >= _pausedUntil) Try(Write);
    }

    private void Write()
    {
        if (!_dispatcher.Sessions.Capabilities.HasReadModel || _dispatcher.Sessions.Backend is not { } backend) return;

        var now = BootClock.Now;
        WriteHeld(backend, now);
        if (!_internalLockWatch.TryCheck())
        {
            // The row of this session was deleted, for example by TRUNCATE.
            _backend = 0;
            WriteHeld(backend, now);
        }

        if (now - _statisticsWrittenAt >= StatisticsInterval)
        {
            WriteStatistics();
            _statisticsWrittenAt = now;
        }

        if (now - _trimmedAt >= TrimInterval)
        {
            _trimmedAt = now;
            Execute(ReadModelSql.ForgetNames, MaxNames);
            Execute(ReadModelSql.ForgetMinutes, 0);
            _mayForgetRuns = true;
        }

        // Many runs are deleted in several passes, because lock requests wait for each statement.
        if (_mayForgetRuns && HasTimeline) _mayForgetRuns = Query<int>(TimelineSql.ForgetRuns, MaxForgottenRuns) is [MaxForgottenRuns];
    }

    /// <summary>An operator may have emptied the tables. The held locks are then written again.</summary>
    private void CheckTables(TimeSpan now)
    {
        if (_backend == 0 || now - _tablesCheckedAt < TableCheckInterval) return;

        _tablesCheckedAt = now;
        var rowsInTable = Query<long>(ReadModelSql.WrittenRows, _backend).ToHashSet();
        if (!rowsInTable.Contains(0)) _backend = 0;
        // Locks that were released in the meantime are missing too. They are not held any more, so they are not written again.
        foreach (var missing in _writtenRows.Where(pair => !rowsInTable.Contains(pair.Value)).Select(static pair => pair.Key).ToList()) _writtenRows.Remove(missing);
    }

    private void WriteHeld(int backend, TimeSpan now)
    {
        CheckTables(now);
        var held = _dispatcher.GrantedUntil(_dispatcher.UtcNow - MinRecordedHold);
        if (backend != _backend)
        {
            _writtenRows.Clear();
            Execute(ReadModelSql.RegisterSession, new { backend, application = _options.ApplicationName, known = held.Select(static grant => grant.ReadModelRow) });
            _backend = backend;
        }

        var gone = _writtenRows.Keys.Except(held).ToList();
        var fresh = held.Where(grant => !_writtenRows.ContainsKey(grant)).ToList();
        if (gone.Count + fresh.Count > 0) WriteHeld(gone, fresh);
        if (_writtenRows.Count == 0 || now - _requestsCheckedAt < RequestCheckInterval) return;

        _requestsCheckedAt = now;
        DeclareRequestedLocksLost();
    }

    private void WriteHeld(List<LockGrant> gone, List<LockGrant> fresh)
    {
        Blocking.Wait(_dispatcher.QueryAsync(session =>
        {
            // A lock that was released in the meantime is not written. A lock that is released later is removed from the table before that.
            fresh.RemoveAll(grant => !grant.TryAssignReadModelRow(grant.ReadModelRow > 0 ? grant.ReadModelRow : ++_lastRow));
            return session.Query<object>(WaitQueueSql.For(_options, ReadModelSql.WriteHeld), new
            {
                backend = _backend,
                gone = gone.Select(grant => _writtenRows[grant]),
                fresh = fresh.Select(static grant => new
                {
                    number = grant.ReadModelRow,
                    key = grant.Key.Value,
                    name_key = grant.NameKey.Value,
                    name = Readable(grant.Name ?? ""),
                    run = Readable(grant.Holder.Run ?? "", DisplayText.LongestRun),
                    since = grant.Since.UtcDateTime,
                    store = grant.Holder.Store,
                    waiting_since = grant.WaitingSince?.UtcDateTime,
                }),
            });
        }));
        foreach (var grant in gone) _writtenRows.Remove(grant);
        foreach (var grant in fresh) _writtenRows[grant] = grant.ReadModelRow;
    }

    private void DeclareRequestedLocksLost()
    {
        foreach (var (row, by, role) in Query<Request>(ReadModelSql.ReleaseRequests, _backend).OfType<Request>())
        {
            if (_writtenRows.FirstOrDefault(pair => pair.Value == row).Key is not { IsLost: false } grant) continue;

            // A role that may write to the table can write any name, but no role except its own.
            var requester = $"{DisplayText.Name(by)} (database role {DisplayText.Name(role ?? "unknown")})";
            _log.ReleaseReceived(grant.ToString(), grant.Key.Value, DisplayText.Name(grant.Holder.Run ?? "an unknown run"), requester);
            grant.DeclareReleaseRequested(requester);
        }
    }

    private void WriteStatistics()
    {
        if (_dispatcher.Sessions.Backend is null) return;

        foreach (var chunk in ChunksOf(_dispatcher.Statistics.Take())) _unwrittenStatistics.Enqueue(chunk);
        while (_unwrittenStatistics.Count > MaxUnwrittenChunks) _unwrittenStatistics.Dequeue();
        while (_unwrittenStatistics.TryPeek(out var chunk))
        {
            var hasTimeline = HasTimeline;
            Execute(hasTimeline ? ReadModelSql.AddStatisticsAndRuns : ReadModelSql.AddStatistics, chunk.Select(statistics => new
            {
                key = statistics.Key.Value,
                name = Readable(statistics.Name),
                runs = statistics.Runs,
                held = statistics.Held.TotalSeconds,
                free = statistics.FreeWhileWaiting.TotalSeconds,
                refused = statistics.Refused,
                waited = statistics.Waited,
                ended = hasTimeline ? RunsOf(statistics) : [],
            }));
            _unwrittenStatistics.Dequeue();
        }
    }

    private static IEnumerable<object> RunsOf(NameStatistics statistics) => statistics.Newest.All.Select((run, index) => new
    {
        run = Readable(run.Run ?? "", DisplayText.LongestRun),
        waiting_since = run.WaitingSince?.UtcDateTime,
        held_since = run.HeldSince.UtcDateTime,
        released = run.ReleasedAt.UtcDateTime,
        unrecorded = index == 0 ? statistics.OlderRuns : 0,
    });

    private static IEnumerable<NameStatistics[]> ChunksOf(IReadOnlyCollection<NameStatistics> all)
    {
        var chunk = new List<NameStatistics>();
        var rows = 0;
        foreach (var statistics in all)
        {
            chunk.Add(statistics);
            rows += 1 + statistics.Newest.Count;
            if (rows < MaxRowsAtOnce) continue;

            yield return [.. chunk];
            chunk.Clear();
            rows = 0;
        }

        if (chunk.Count > 0) yield return [.. chunk];
    }

    private void Execute(string sql, object parameter) => Query<object>(sql, parameter);

    private List<T?> Query<T>(string sql, object parameter) => Blocking.Wait(_dispatcher.QueryAsync(session => session.Query<T>(WaitQueueSql.For(_options, sql), parameter)));

    private void Try(Action action)
    {
        try
        {
            action();
            _isBroken = false;
        }
        catch (Exception error)
        {
            // The inspection shows less for a while, and no run waits for that. Logged once in an outage, and not four times a second.
            if (!_isBroken) _log.ReadModelFailed(_dispatcher.Server, error);
            _isBroken = true;
            // It is not known what was written before the error.
            _backend = 0;
            _pausedUntil = BootClock.Now + RequestCheckInterval;
        }
    }

    /// <summary>Replaces NUL, which PostgreSQL cannot store in a text, and cuts the text to a readable length.</summary>
    private static string Readable(string text, int atMost = DisplayText.LongestName) => DisplayText.Cut(text, atMost).Replace('\0', '\uFFFD');

    private sealed record Request(long Number, string By, string? Role);
}
