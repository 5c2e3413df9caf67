using JobLocks.Diagnostics;
using JobLocks.Locks;
using JobLocks.Postgres.Locks;
using JobLocks.Postgres.WaitQueue;
using JobLocks.Primitives;
using Microsoft.Extensions.Logging;

namespace JobLocks.Postgres.Reading;

/// <summary>
/// Has the session write down in bulk who holds what for longer than a moment, and what happened under each name, when it is not busy with locks:
/// no run waits for it, and no connection is opened for it. Thread-safe.
/// </summary>
internal sealed class ReadModelWriter : IDisposable
{
    /// <summary>What is held for a shorter time is not written down.</summary>
    public static readonly TimeSpan Moment = TimeSpan.FromMilliseconds(250);

    private const int MostNames = 10_000;

    // Of what could not be written down, in parts.
    private const int MostUnwritten = 100;

    // So many take a few milliseconds, and whoever asks for a lock meanwhile waits for them.
    private const int MostNamesAtOnce = 200;

    private static readonly TimeSpan BetweenLooks = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan BetweenTallies = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan BetweenChecks = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan BetweenTrims = TimeSpan.FromMinutes(1);

    private readonly LockDispatcher _dispatcher;
    private readonly InternalLockWatch _watch;
    private readonly JobLocksOptions _options;
    private readonly ILogger _log;
    private readonly RepeatingThread _thread;
    private readonly Dictionary<LockGrant, long> _written = [];
    private readonly Queue<NameStatistics[]> _unwritten = [];
    private long _lastNumber;
    private int _backend;
    private TimeSpan _askedAt;
    private TimeSpan _talliedAt;
    private TimeSpan _trimmedAt;
    private TimeSpan _checkedAt;
    private volatile bool _isBroken;
    private TimeSpan _restsUntil;

    public ReadModelWriter(LockDispatcher dispatcher, InternalLockWatch watch, JobLocksOptions options, ILogger log)
    {
        _dispatcher = dispatcher;
        _watch = watch;
        _options = options;
        _log = log;
        _thread = new("JobLocks ledger", Moment, LookUnlessAtRest, CountAtLast);
    }

    /// <summary>Whether nothing could be written down the last time.</summary>
    public bool IsBroken => _isBroken;

    /// <summary>A session is open: it is written down at once, so that it is not taken for a foreign one.</summary>
    public void Start() => _thread.Start(atOnce: true);

    public void Dispose() => _thread.Dispose();

    /// <summary>What the session has is gone with it, a moment later. What was counted is not.</summary>
    private void CountAtLast()
    {
        if (_dispatcher.HasReadModel) Try(Count);
    }

    private void LookUnlessAtRest()
    {
        // With a locked table, each try delays takes by a tenth of a second.
        if (BootClock.Now >= _restsUntil) Try(Look);
    }

    private void Look()
    {
        if (!_dispatcher.HasReadModel || _dispatcher.CurrentBackend is not { } backend) return;

        var now = BootClock.Now;
        Note(backend, now);
        if (!_watch.TryLook())
        {
            // Its row was deleted, as TRUNCATE does.
            _backend = 0;
            Note(backend, now);
        }

        if (now - _talliedAt >= BetweenTallies)
        {
            Count();
            _talliedAt = now;
        }

        if (now - _trimmedAt < BetweenTrims) return;

        _trimmedAt = now;
        Say(ReadModelSql.ForgetNames, MostNames);
        Say(ReadModelSql.ForgetMinutes, 0);
    }

    /// <summary>An operator may have emptied the tables: then what is held is written down once more.</summary>
    private void Check(TimeSpan now)
    {
        if (_backend == 0 || now - _checkedAt < BetweenChecks) return;

        _checkedAt = now;
        var written = Ask<long>(ReadModelSql.Written, _backend).ToHashSet();
        if (!written.Contains(0)) _backend = 0;
        // Locks that were released meanwhile were struck out, and are not held any more.
        foreach (var lost in _written.Where(one => !written.Contains(one.Value)).Select(static one => one.Key).ToList()) _written.Remove(lost);
    }

    private void Note(int backend, TimeSpan now)
    {
        Check(now);
        var held = _dispatcher.HeldSince(_dispatcher.UtcNow - Moment);
        if (backend != _backend)
        {
            _written.Clear();
            Say(ReadModelSql.Begin, new { backend, application = _options.ApplicationName, known = held.Select(static handle => handle.Written) });
            _backend = backend;
        }

        var gone = _written.Keys.Except(held).ToList();
        var fresh = held.Where(handle => !_written.ContainsKey(handle)).ToList();
        if (gone.Count + fresh.Count > 0) Note(gone, fresh);
        if (_written.Count == 0 || now - _askedAt < BetweenLooks) return;

        _askedAt = now;
        LetGoOfThoseAskedFor();
    }

    private void Note(List<LockGrant> gone, List<LockGrant> fresh)
    {
        Blocking.Wait(_dispatcher.AskAsync(session =>
        {
            // One that is given back meanwhile is not written down any more, and one that is given back later is struck out before that.
            fresh.RemoveAll(handle => !handle.TryWrite(handle.Written > 0 ? handle.Written : ++_lastNumber));
            return session.Ask<object>(WaitQueueSql.For(_options, ReadModelSql.Note), new
            {
                backend = _backend,
                gone = gone.Select(handle => _written[handle]),
                fresh = fresh.Select(static handle => new
                {
                    nth = handle.Written,
                    key = handle.Key.Value,
                    line = handle.Line.Value,
                    name = Readable(handle.Name ?? ""),
                    run = Readable(handle.Holder.Run ?? "", DisplayText.LongestRun),
                    since = handle.Since.UtcDateTime,
                    store = handle.Holder.Store,
                }),
            });
        }));
        foreach (var handle in gone) _written.Remove(handle);
        foreach (var handle in fresh) _written[handle] = handle.Written;
    }

    private void LetGoOfThoseAskedFor()
    {
        foreach (var (number, by, role) in Ask<Request>(ReadModelSql.Asked, _backend).OfType<Request>())
        {
            if (_written.FirstOrDefault(one => one.Value == number).Key is not { IsLost: false } handle) continue;

            // Who may write there may write any name, but not another role.
            var asker = $"{DisplayText.Name(by)} (database role {DisplayText.Name(role ?? "unknown")})";
            _log.LetsGo(handle.ToString(), handle.Key.Value, DisplayText.Name(handle.Holder.Run ?? "nobody who is known"), asker);
            handle.DeclareLost(new ReleaseRequestedException(asker));
        }
    }

    private void Count()
    {
        if (_dispatcher.CurrentBackend is null) return;

        foreach (var some in _dispatcher.Ledger.Take().Chunk(MostNamesAtOnce)) _unwritten.Enqueue(some);
        while (_unwritten.Count > MostUnwritten) _unwritten.Dequeue();
        while (_unwritten.TryPeek(out var some))
        {
            Say(ReadModelSql.Add, some.Select(static tally => new
            {
                key = tally.Key.Value,
                name = Readable(tally.Name),
                runs = tally.Runs,
                held = tally.Held.TotalSeconds,
                refused = tally.Refused,
                waited = tally.Waited,
            }));
            _unwritten.Dequeue();
        }
    }

    private void Say(string sql, object given) => Ask<object>(sql, given);

    private List<T?> Ask<T>(string sql, object given) => Blocking.Wait(_dispatcher.AskAsync(session => session.Ask<T>(WaitQueueSql.For(_options, sql), given)));

    private void Try(Action act)
    {
        try
        {
            act();
            _isBroken = false;
        }
        catch (Exception broken)
        {
            // Those who look see less for a while, and no run is held up by that. Said once, and not four times a second.
            if (!_isBroken) _log.LedgerFailed(_dispatcher.Server, broken);
            _isBroken = true;
            // Nobody knows what was written before it broke.
            _backend = 0;
            _restsUntil = BootClock.Now + BetweenLooks;
        }
    }

    /// <summary>PostgreSQL keeps no NUL in a text, and nobody reads ten thousand characters.</summary>
    private static string Readable(string text, int atMost = DisplayText.LongestName) => DisplayText.Cut(text, atMost).Replace('\0', '\uFFFD');

    private sealed record Request(long Number, string By, string? Role);
}
