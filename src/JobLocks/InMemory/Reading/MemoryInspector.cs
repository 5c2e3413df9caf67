using JobLocks.Diagnostics;
using JobLocks.Inspection;
using JobLocks.Primitives;
using Microsoft.Extensions.Logging;

namespace JobLocks.InMemory.Reading;

/// <inheritdoc/>
internal sealed class MemoryInspector : IPageInspector
{
    /// <summary>The most rows of one page.</summary>
    public const int LargestPage = 100;

    private const int MostContendedNames = 10;

    private readonly MemoryDispatcher _dispatcher;
    private readonly MemoryHeldReadings _held;
    private readonly MemoryQueueReadings _queue;
    private readonly MemorySearch _search;
    private readonly MemoryReleaseRequests _releases;
    private readonly ILogger _log;

    public MemoryInspector(MemoryDispatcher dispatcher, JobLocksOptions options, TimeProvider clock, ILogger log)
    {
        _dispatcher = dispatcher;
        _held = new(dispatcher, options, clock.GetUtcNow());
        _queue = new(dispatcher, _held);
        _search = new(dispatcher, _held, options);
        _releases = new(dispatcher, clock, log);
        _log = log;
        Pages = new(this);
    }

    /// <inheritdoc/>
    public PageReadings Pages { get; }

    public Task<LockOverview> GetOverviewAsync(CancellationToken stop = default) => ReadAsync(ReadOverview, stop);

    public Task<LockSnapshot> GetSnapshotAsync(int heldSkip = 0, int waitingSkip = 0, int take = LargestPage, CancellationToken stop = default)
    {
        CheckPage(heldSkip, take);
        CheckPage(waitingSkip, take);
        return ReadAsync(() => new LockSnapshot(ReadOverview(), PageOf([.. _held.All], heldSkip, take), PageOf(_queue.Names, waitingSkip, take)), stop);
    }

    public Task<LockPage<HeldLock>> GetHeldAsync(int skip = 0, int take = LargestPage, CancellationToken stop = default)
    {
        CheckPage(skip, take);
        return ReadAsync(() => PageOf([.. _held.All], skip, take), stop);
    }

    public Task<LockPage<WaitingName>> GetWaitingAsync(int skip = 0, int take = LargestPage, CancellationToken stop = default)
    {
        CheckPage(skip, take);
        return ReadAsync(() => PageOf(_queue.Names, skip, take), stop);
    }

    public Task<LockPage<QueuedRun>> GetWaitingAsync(LockKey key, int skip = 0, int take = LargestPage, CancellationToken stop = default)
    {
        CheckPage(skip, take);
        return ReadAsync(() => _queue.ReadPage(key, skip, take), stop);
    }

    public Task<NamedLock> GetNameAsync(LockKey key, CancellationToken stop = default) => GetNameAsync(key, 0, LargestPage, run: null, stop);

    public Task<NamedLock> GetNameAsync(LockKey key, int skip, int take, string? run = null, CancellationToken stop = default)
    {
        CheckPage(skip, take);
        return ReadAsync(() => ReadName(key, skip, take, run), stop);
    }

    public Task<IReadOnlyList<LockMatch>> FindAsync(string text, CancellationToken stop = default)
    {
        ArgumentNullException.ThrowIfNull(text);

        return ReadAsync(() => _search.Find(text), stop);
    }

    public Task<string?> ExplainAsync(string run, CancellationToken stop = default) => ExplainAsync(run, store: null, stop);

    public Task<string?> ExplainAsync(string run, string? store, CancellationToken stop)
    {
        ArgumentException.ThrowIfNullOrEmpty(run);

        return ReadAsync(() => Explain(run, store), stop);
    }

    public Task<ReleaseAnswer> RequestReleaseAsync(LockKey key, string by, TimeSpan? atMost = null, CancellationToken stop = default) =>
        _releases.RequestAsync(key, nameKey: null, by, atMost, stop);

    public Task<ReleaseAnswer> RequestReleaseAsync(LockKey nameKey, LockKey slotKey, string by, TimeSpan? atMost, CancellationToken stop) =>
        _releases.RequestAsync(slotKey, nameKey, by, atMost, stop);

    /// <summary>Declares all locks lost if the number is <see cref="MemoryHeldReadings.Session"/>: no session exists that could be ended.</summary>
    public Task<bool> EndSessionAsync(int backend, string by, CancellationToken stop = default)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(by);

        by = DisplayText.Name(by);
        _log.EndingSession(by, backend);
        var keys = backend == MemoryHeldReadings.Session ? _dispatcher.Read(() => _dispatcher.Locks.Held.Select(static entry => entry.Key).ToList()) : [];
        foreach (var key in keys) _dispatcher.Lose(key, new InvalidOperationException($"{by} ended its session"));
        _log.SessionEnded(backend, by, keys.Count > 0 ? "it is ended" : "no session with that backend holds a lock");
        return Task.FromResult(keys.Count > 0);
    }

    private static void CheckPage(int skip, int take)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(skip);
        ArgumentOutOfRangeException.ThrowIfLessThan(take, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(take, LargestPage);
    }

    private static LockPage<T> PageOf<T>(IReadOnlyList<T> all, int skip, int take) => new([.. all.Skip(skip).Take(take)], all.Count);

    private Task<T> ReadAsync<T>(Func<T> read, CancellationToken stop) => stop.IsCancellationRequested ? Task.FromCanceled<T>(stop) : Task.FromResult(_dispatcher.Read(read));

    private LockOverview ReadOverview()
    {
        var locks = _dispatcher.Locks.Held.Count();
        return new(_dispatcher.UtcNow, locks, _queue.Count, [new(_held.Process, locks)], [.. _queue.Names.Take(MostContendedNames)], HasNames: true) { Samples = _dispatcher.Samples.All };
    }

    private NamedLock ReadName(LockKey key, int skip, int take, string? run)
    {
        var held = _held.Of(key);
        var waiting = _queue.ReadPage(key, skip, take);
        var totals = _dispatcher.Statistics.Find(key);
        var name = totals is not null
            ? DisplayText.Cut(totals.Name)
            : held.Select(static item => item.Name).OfType<string>().FirstOrDefault() ?? waiting.Items.Select(static item => item.Name).FirstOrDefault();
        return new(
            key,
            name,
            held,
            waiting,
            totals?.Runs ?? 0,
            _dispatcher.Statistics.UsualHold(key),
            totals?.Refused ?? 0,
            totals?.Waited ?? 0,
            totals?.MinutesAfter(_dispatcher.UtcNow - TimeSpan.FromHours(1)) ?? [])
        {
            Timeline = ReadTimeline(key, held, totals),
            Explanation = string.IsNullOrEmpty(run) ? null : Explain(run, store: null),
        };
    }

    private LockTimeline ReadTimeline(LockKey key, IReadOnlyList<HeldLock> held, MemoryStatistics.NameTotals? totals)
    {
        var at = _dispatcher.UtcNow;
        var begin = TimelineReading.BeginOf(at);
        var ended = (totals?.RunsSince(begin) ?? []).Select(static run => new TimelineRun(run.Run, run.WaitingSince, run.HeldSince, run.ReleasedAt)).ToList();
        var total = totals?.MinutesAfter(begin - TimeSpan.FromTicks(1)).Sum(static minute => minute.Runs) ?? 0;
        return new TimelineReading(at, ended, total).Build(held, _queue.ReadPage(key, 0, TimelineReading.MostWaiting));
    }

    private string? Explain(string run, string? store) => _queue.Explain(run, store) ?? _search.ExplainHolder(run, store);
}
