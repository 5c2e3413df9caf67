using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace JobLocks.Diagnostics;

/// <summary>
/// What is measured, by the conventions of OpenTelemetry. A lock is tagged with its rule's template, never with its name: names are without
/// number. Costs a look at a flag while nobody listens. Thread-safe.
/// </summary>
internal sealed class LockMeter : IDisposable
{
    public const string Name = "JobLocks";

    private const string Template = "joblocks.lock.template";
    private const string Outcome = "joblocks.outcome";
    private const string Scheduler = "joblocks.scheduler";

    // From a round trip in one machine to a day in line.
    private static readonly InstrumentAdvice<double> Short = new() { HistogramBucketBoundaries = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5] };
    private static readonly InstrumentAdvice<double> Long = new() { HistogramBucketBoundaries = [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600, 14400, 86400] };
    private static readonly InstrumentAdvice<int> Many = new() { HistogramBucketBoundaries = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000] };

    private readonly Meter _meter;
    private readonly Counter<long> _takes;
    private readonly Histogram<double> _takeDuration;
    private readonly Histogram<double> _holdDuration;
    private readonly Histogram<double> _waitDuration;
    private readonly Counter<long> _losses;
    private readonly Counter<long> _sweepWakes;
    private readonly Histogram<int> _operations;

    /// <param name="factory">The container's; null without one.</param>
    /// <param name="held">How many locks the session has.</param>
    /// <param name="isOpen">Whether there is a session.</param>
    public LockMeter(IMeterFactory? factory, Func<int> held, Func<bool> isOpen)
    {
        _meter = factory?.Create(Name) ?? new(Name);
        _takes = _meter.CreateCounter<long>("joblocks.takes", "{take}", "Runs that asked for their locks, by what came of it.");
        _takeDuration = _meter.CreateHistogram("joblocks.take.duration", "s", "How long a run waited for the answer of the gate.", advice: Short);
        _holdDuration = _meter.CreateHistogram("joblocks.hold.duration", "s", "How long a lock was held.", advice: Long);
        _waitDuration = _meter.CreateHistogram("joblocks.wait.duration", "s", "How long a run stood in line before it was admitted.", advice: Long);
        _losses = _meter.CreateCounter<long>("joblocks.losses", "{lock}", "Locks that were lost while they were held.");
        _sweepWakes = _meter.CreateCounter<long>("joblocks.sweep.wakes", "{run}", "Runs that only a sweep found to be next.");
        _operations = _meter.CreateHistogram("joblocks.statement.operations", "{operation}", "Operations that went to the server in one statement.", advice: Many);
        _meter.CreateObservableUpDownCounter("joblocks.locks.held", held, "{lock}", "Locks that this process has.");
        _meter.CreateObservableGauge("joblocks.session.open", () => isOpen() ? 1 : 0, "{session}", "1 while the session that holds the locks is open.");
    }

    /// <summary>When something begins that is measured.</summary>
    public static long Now => Stopwatch.GetTimestamp();

    /// <summary>A run was given an answer.</summary>
    public void Answered(string scheduler, string template, string outcome, long since)
    {
        if (_takes.Enabled) _takes.Add(1, new(Scheduler, scheduler), new(Template, template), new(Outcome, outcome));
        if (_takeDuration.Enabled) _takeDuration.Record(Stopwatch.GetElapsedTime(since).TotalSeconds, new(Scheduler, scheduler), new(Template, template), new(Outcome, outcome));
    }

    /// <summary>A run that stood in line is admitted.</summary>
    public void Waited(string scheduler, string template, TimeSpan time)
    {
        // The clock of the server began, and ours ends.
        if (_waitDuration.Enabled) _waitDuration.Record(Math.Max(0, time.TotalSeconds), new(Scheduler, scheduler), new(Template, template));
    }

    /// <summary>A lock is let go. One that was taken by hand has no template.</summary>
    public void Held(string? template, TimeSpan time)
    {
        if (!_holdDuration.Enabled) return;

        if (template is null) _holdDuration.Record(time.TotalSeconds);
        else _holdDuration.Record(time.TotalSeconds, new KeyValuePair<string, object?>(Template, template));
    }

    public void Lost(int count) => _losses.Add(count);

    public void WokeBySweep(int count)
    {
        if (count > 0) _sweepWakes.Add(count);
    }

    public void Sent(int operations) => _operations.Record(operations);

    public void Dispose() => _meter.Dispose();
}
