using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace JobLocks.Diagnostics;

/// <summary>
/// What is measured, by the conventions of OpenTelemetry. Costs a look at a flag while nobody listens. Thread-safe.
/// </summary>
internal sealed class LockMeter : IDisposable
{
    public const string Name = "JobLocks";

    // From a round trip in one machine to a day in line.
    private static readonly InstrumentAdvice<double> Short = new() { HistogramBucketBoundaries = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5] };
    private static readonly InstrumentAdvice<double> Long = new() { HistogramBucketBoundaries = [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600, 14400, 86400] };
    private static readonly InstrumentAdvice<int> Many = new() { HistogramBucketBoundaries = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000] };

    private readonly bool _tagsNames;
    private readonly Meter _meter;
    private readonly Counter<long> _takes;
    private readonly Histogram<double> _takeDuration;
    private readonly Histogram<double> _holdDuration;
    private readonly Histogram<double> _waitDuration;
    private readonly Histogram<int> _lineLength;
    private readonly Counter<long> _losses;
    private readonly Counter<long> _sweepWakes;
    private readonly Histogram<int> _operations;

    /// <param name="factory">The container's; null without one.</param>
    /// <param name="held">How many locks the session has.</param>
    /// <param name="isOpen">Whether there is a session.</param>
    /// <param name="tagsNames">Whether the tags hold the names of locks, and not their templates alone.</param>
    public LockMeter(IMeterFactory? factory, Func<int> held, Func<bool> isOpen, bool tagsNames)
    {
        _tagsNames = tagsNames;
        _meter = factory?.Create(Name) ?? new(Name);
        _takes = _meter.CreateCounter<long>("joblocks.takes", "{take}", "Runs that asked for their locks, by what came of it.");
        _takeDuration = _meter.CreateHistogram("joblocks.take.duration", "s", "How long a run waited for the answer of the gate.", advice: Short);
        _holdDuration = _meter.CreateHistogram("joblocks.hold.duration", "s", "How long a lock was held.", advice: Long);
        _waitDuration = _meter.CreateHistogram("joblocks.wait.duration", "s", "How long a run stood in line before it was admitted.", advice: Long);
        _lineLength = _meter.CreateHistogram("joblocks.line.length", "{run}", "How many stood in a line when one more came, that one included.", advice: Many);
        _losses = _meter.CreateCounter<long>("joblocks.losses", "{lock}", "Locks that were lost while they were held.");
        _sweepWakes = _meter.CreateCounter<long>("joblocks.sweep.wakes", "{run}", "Runs that a sweep found to be next before anybody else had woken them.");
        _operations = _meter.CreateHistogram("joblocks.statement.operations", "{operation}", "Operations that went to the server in one statement.", advice: Many);
        _meter.CreateObservableUpDownCounter("joblocks.locks.held", held, "{lock}", "Locks that this process has.");
        _meter.CreateObservableGauge("joblocks.session.open", () => isOpen() ? 1 : 0, "{session}", "1 while the session that holds the locks is open.");
    }

    /// <summary>When something begins that is measured.</summary>
    public static long Now => Stopwatch.GetTimestamp();

    /// <summary>Begins the series that are to stay at zero: who watches them wants to see that they are there.</summary>
    public void Begin()
    {
        _losses.Add(0);
        _sweepWakes.Add(0);
    }

    /// <summary>A run was given an answer.</summary>
    public void Answered(string scheduler, LockLabel label, string outcome, long since)
    {
        if (!_takes.Enabled && !_takeDuration.Enabled) return;

        var tags = LockTags.Of(label, _tagsNames, scheduler);
        tags.Add(LockTags.Outcome, outcome);
        _takes.Add(1, tags);
        _takeDuration.Record(Stopwatch.GetElapsedTime(since).TotalSeconds, tags);
    }

    /// <summary>A run came to the line, and so many stand there now.</summary>
    public void Stands(string scheduler, LockLabel label, int length)
    {
        if (_lineLength.Enabled) _lineLength.Record(length, LockTags.Of(label, _tagsNames, scheduler));
    }

    /// <summary>A run that stood in line is admitted.</summary>
    public void Waited(string scheduler, LockLabel label, DateTimeOffset since)
    {
        // The clock of the server began, and ours ends.
        if (_waitDuration.Enabled) _waitDuration.Record(Math.Max(0, (DateTimeOffset.UtcNow - since).TotalSeconds), LockTags.Of(label, _tagsNames, scheduler));
    }

    /// <summary>A lock is let go.</summary>
    /// <param name="label">The lock.</param>
    /// <param name="time">For how long it was held.</param>
    public void Held(LockLabel label, TimeSpan time)
    {
        if (_holdDuration.Enabled) _holdDuration.Record(time.TotalSeconds, LockTags.Of(label, _tagsNames));
    }

    public void Lost(int count) => _losses.Add(count);

    public void WokeBySweep(int count)
    {
        if (count > 0) _sweepWakes.Add(count);
    }

    public void Sent(int operations) => _operations.Record(operations);

    public void Dispose() => _meter.Dispose();
}
