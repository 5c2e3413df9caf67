using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace JobLocks.Diagnostics;

/// <summary>
/// The metrics, by the conventions of OpenTelemetry. While no listener is attached, a measurement costs one check of a flag. Thread-safe.
/// </summary>
internal sealed class LockMeter : IDisposable
{
    public const string Name = "JobLocks";

    // Bucket boundaries, durations in seconds: from a round trip on one machine to a day in the wait queue.
    private static readonly InstrumentAdvice<double> ShortDurations = new() { HistogramBucketBoundaries = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5] };
    private static readonly InstrumentAdvice<double> LongDurations = new() { HistogramBucketBoundaries = [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600, 14400, 86400] };
    private static readonly InstrumentAdvice<double> WakeDurations = new() { HistogramBucketBoundaries = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60] };
    private static readonly InstrumentAdvice<int> Counts = new() { HistogramBucketBoundaries = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000] };

    private readonly bool _tagsNames;
    private readonly Meter _meter;
    private readonly Counter<long> _attempts;
    private readonly Histogram<double> _attemptDuration;
    private readonly Histogram<double> _holdDuration;
    private readonly Histogram<double> _waitDuration;
    private readonly Histogram<double> _wakeDuration;
    private readonly Histogram<int> _queueLength;
    private readonly Counter<long> _losses;
    private readonly Counter<long> _sweepWakes;
    private readonly Histogram<int> _operations;

    /// <param name="factory">The meter factory of the container; null without a container.</param>
    /// <param name="held">Returns how many locks this process holds or has requested.</param>
    /// <param name="isOpen">Returns whether the session is open.</param>
    /// <param name="tagsNames">Whether the tags contain lock names in addition to templates.</param>
    public LockMeter(IMeterFactory? factory, Func<int> held, Func<bool> isOpen, bool tagsNames)
    {
        _tagsNames = tagsNames;
        _meter = factory?.Create(Name) ?? new(Name);
        _attempts = _meter.CreateCounter<long>("joblocks.requests", "{request}", "Lock requests of runs, by outcome.");
        _attemptDuration = _meter.CreateHistogram("joblocks.request.duration", "s", "How long a run waited for the answer of the gate.", advice: ShortDurations);
        _holdDuration = _meter.CreateHistogram("joblocks.hold.duration", "s", "How long a lock was held.", advice: LongDurations);
        _waitDuration = _meter.CreateHistogram("joblocks.wait.duration", "s", "How long a run waited in the queue before it was admitted.", advice: LongDurations);
        _wakeDuration = _meter.CreateHistogram("joblocks.wake.duration", "s", "How long a lock was free between the wake of a waiting run and its start.", advice: WakeDurations);
        _queueLength = _meter.CreateHistogram("joblocks.queue.length", "{run}", "Length of the wait queue after a run entered it.", advice: Counts);
        _losses = _meter.CreateCounter<long>("joblocks.losses", "{lock}", "Locks that were lost while they were held.");
        _sweepWakes = _meter.CreateCounter<long>("joblocks.sweep.wakes", "{run}", "Runs that a sweep has woken, because no release had woken them.");
        _operations = _meter.CreateHistogram("joblocks.statement.operations", "{operation}", "Operations that went to the server in one statement.", advice: Counts);
        _meter.CreateObservableUpDownCounter("joblocks.locks.held", held, "{lock}", "Locks that this process holds or has requested.");
        _meter.CreateObservableGauge("joblocks.session.open", () => isOpen() ? 1 : 0, "{session}", "1 while the session that holds the locks is open.");
    }

    /// <summary>The timestamp at which a measured duration begins, for <see cref="Answered"/>.</summary>
    public static long Now => Stopwatch.GetTimestamp();

    /// <summary>Records a zero in the counters that usually stay at zero, so that their time series exist and can be monitored.</summary>
    public void Begin()
    {
        _losses.Add(0);
        _sweepWakes.Add(0);
    }

    /// <summary>Records the answer of the gate to a run.</summary>
    public void Answered(string scheduler, LockLabel label, string outcome, long since)
    {
        if (!_attempts.Enabled && !_attemptDuration.Enabled) return;

        var tags = LockTags.Of(label, _tagsNames, scheduler);
        tags.Add(LockTags.Outcome, outcome);
        _attempts.Add(1, tags);
        _attemptDuration.Record(Stopwatch.GetElapsedTime(since).TotalSeconds, tags);
    }

    /// <summary>Records that a run has entered the wait queue, and the length of the queue including that run.</summary>
    public void Enqueued(string scheduler, LockLabel label, int length)
    {
        if (_queueLength.Enabled) _queueLength.Record(length, LockTags.Of(label, _tagsNames, scheduler));
    }

    /// <summary>Records that a waiting run was admitted.</summary>
    public void Waited(string scheduler, LockLabel label, DateTimeOffset since)
    {
        // The begin is a time of the server's clock and the end a time of this machine's clock, so the difference can be negative.
        if (_waitDuration.Enabled) _waitDuration.Record(Math.Max(0, (DateTimeOffset.UtcNow - since).TotalSeconds), LockTags.Of(label, _tagsNames, scheduler));
    }

    /// <summary>Records for how long a lock was free between the wake of a run and its start.</summary>
    public void Started(string scheduler, LockLabel label, TimeSpan time)
    {
        if (_wakeDuration.Enabled) _wakeDuration.Record(time.TotalSeconds, LockTags.Of(label, _tagsNames, scheduler));
    }

    /// <summary>Records the release of a lock.</summary>
    /// <param name="label">The lock.</param>
    /// <param name="time">For how long the lock was held.</param>
    public void Held(LockLabel label, TimeSpan time)
    {
        if (_holdDuration.Enabled) _holdDuration.Record(time.TotalSeconds, LockTags.Of(label, _tagsNames));
    }

    /// <summary>Records locks that were lost.</summary>
    public void Lost(int count) => _losses.Add(count);

    /// <summary>Records runs that a sweep has woken.</summary>
    public void WokeBySweep(int count)
    {
        if (count > 0) _sweepWakes.Add(count);
    }

    /// <summary>Records a statement with its number of operations.</summary>
    public void Sent(int operations) => _operations.Record(operations);

    public void Dispose() => _meter.Dispose();
}
