using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using System.Globalization;
using JobLocks.Diagnostics;
using JobLocks.Gate;
using JobLocks.Tests.Support;
using JobLocks.WaitQueue;

namespace JobLocks.Tests.Inspection;

/// <summary>What an application that listens is told.</summary>
[TestFixture, CancelAfter(60_000)]
public sealed class MeterTests
{
    private readonly ConcurrentQueue<(string Instrument, double Value, string Tags)> _measured = new();
    private readonly ConcurrentDictionary<string, Instrument> _instruments = new(StringComparer.Ordinal);
    private string _template = "";
    private string _database = "";
    private AdvisoryLocks _locks = null!;
    private MeterListener _listener = null!;

    [SetUp]
    public async Task Listen()
    {
        _measured.Clear();
        _template = $"order-{Guid.NewGuid():N}({{client}})";
        _database = await AssemblySetup.Server.CreateDatabaseAsync("meter");
        _locks = AdvisoryLocks.Connect(_database);
        _listener = new()
        {
            InstrumentPublished = (instrument, listener) =>
            {
                if (!string.Equals(instrument.Meter.Name, LockMeter.Name, StringComparison.Ordinal)) return;

                _instruments[instrument.Name] = instrument;
                listener.EnableMeasurementEvents(instrument);
            },
        };
        _listener.SetMeasurementEventCallback<long>((instrument, value, tags, _) => Note(instrument, value, tags));
        _listener.SetMeasurementEventCallback<int>((instrument, value, tags, _) => Note(instrument, value, tags));
        _listener.SetMeasurementEventCallback<double>((instrument, value, tags, _) => Note(instrument, value, tags));
        _listener.Start();
    }

    [TearDown]
    public async Task Close()
    {
        _listener.Dispose();
        await _locks.DisposeAsync();
    }

    [Test]
    public async Task Counts_runs_by_what_came_of_them_under_their_template_and_never_by_name(CancellationToken stop)
    {
        var gate = JobGate.To(_locks);
        var admitted = (Admission.Admitted)await gate.TryEnterAsync(Call(OnConflict.Skip), stop);
        var refused = await gate.TryEnterAsync(Call(OnConflict.Skip) with { JobId = "2" }, stop);
        admitted.Dispose();

        var ours = _measured.Where(one => one.Tags.Contains(_template, StringComparison.Ordinal)).ToList();
        using (Assert.EnterMultipleScope())
        {
            Assert.That(refused, Is.TypeOf<Admission.Refused>());
            Assert.That(ours.Where(static one => one.Instrument is "joblocks.requests").Select(static one => one.Tags), Has.One.Contains("joblocks.outcome=admitted").And.One.Contains("joblocks.outcome=skipped"));
            Assert.That(ours.Count(static one => one is { Instrument: "joblocks.request.duration", Value: > 0 }), Is.EqualTo(2));
            Assert.That(ours.Count(static one => one is { Instrument: "joblocks.hold.duration", Value: > 0 }), Is.EqualTo(1));
            Assert.That(_measured.Select(static one => one.Tags), Has.None.Contains(_template.Replace("{client}", "4", StringComparison.Ordinal)));
        }
    }

    [Test]
    public async Task Measures_how_long_a_run_was_in_the_queue(CancellationToken stop)
    {
        var gate = JobGate.To(_locks);
        var address = new RunAddress("Test store", "1", "");
        var admitted = (Admission.Admitted)await gate.TryEnterAsync(Call(OnConflict.Wait), stop);
        var waits = await gate.TryEnterAsync(Call(OnConflict.Wait) with { Address = _ => address }, stop);
        admitted.Dispose();
        using var later = (Admission.Admitted)await gate.TryEnterAsync(Call(OnConflict.Wait) with { Address = _ => address, MayHaveQueueEntry = true }, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(waits, Is.TypeOf<Admission.Waits>());
            Assert.That(_measured.Where(one => one.Instrument is "joblocks.queue.length" && one.Tags.Contains(_template, StringComparison.Ordinal)).Select(static one => one.Value), Has.Exactly(1).Items.And.All.EqualTo(1));
            Assert.That(_measured.Count(one => one.Instrument is "joblocks.wait.duration" && one.Tags.Contains(_template, StringComparison.Ordinal)), Is.EqualTo(1));
            Assert.That(_measured.Select(static one => one.Tags), Has.Some.Contains("joblocks.outcome=waits"));
        }
    }

    [TestCase("5 s", ExpectedResult = new[] { 0d })]
    // The run is late: other runs may have held the lock meanwhile.
    [TestCase("1 hour", ExpectedResult = new double[0])]
    // The clock of the server was set back.
    [TestCase("-1 hour", ExpectedResult = new[] { 0d })]
    public async Task<double[]> Measures_how_long_the_lock_of_a_woken_run_was_free(string wokenBefore, CancellationToken stop)
    {
        var gate = JobGate.To(_locks);
        var waiting = Call(OnConflict.Wait) with { Address = static _ => new("Test store", "1", ""), MayHaveQueueEntry = true };
        using (await gate.TryEnterAsync(Call(OnConflict.Wait), stop) as IDisposable) await gate.TryEnterAsync(waiting, stop);
        await LockTable.AskAsync(_database, $"UPDATE joblocks.wait_queue SET woken = now() - interval '{wokenBefore}'");

        using (await gate.TryEnterAsync(waiting, stop) as IDisposable)
        {
        }

        return [.. _measured.Where(one => one.Instrument is "joblocks.wake.duration" && one.Tags.Contains(_template, StringComparison.Ordinal)).Select(static one => Math.Floor(one.Value / 20))];
    }

    [Test]
    public async Task Names_the_lock_only_where_an_option_asks_for_it(CancellationToken stop)
    {
        await using var locks = AdvisoryLocks.Connect(_database, static options => options.NamesInTelemetry = true);
        var name = _template.Replace("{client}", "4", StringComparison.Ordinal);

        using (await JobGate.To(locks).TryEnterAsync(Call(OnConflict.Skip), stop) as IDisposable)
        {
        }

        var named = _measured.Where(one => one.Tags.Contains($"joblocks.lock.name={name}", StringComparison.Ordinal)).Select(static one => one.Instrument);
        Assert.That(string.Join(", ", named), Is.EqualTo("joblocks.requests, joblocks.request.duration, joblocks.hold.duration"));
    }

    [TestCase("line\r\nbreak\tand\0nul", "line␍␊break␉and␀nul")]
    [TestCase("\u202Esdrawkcab\u2028", "<U+202E>sdrawkcab<U+2028>")]
    public async Task Keeps_a_hostile_name_in_one_line_where_names_are_asked_for(string hostile, string shown, CancellationToken stop)
    {
        await using var locks = AdvisoryLocks.Connect(_database, static options => options.NamesInTelemetry = true);

        await (await locks.TryAcquireAsync(_template + hostile, stop))!.DisposeAsync();
        await (await locks.TryAcquireAsync(_template + new string('x', 10_000), stop))!.DisposeAsync();

        var named = _measured.Select(static one => one.Tags).Where(tags => tags.Contains(_template, StringComparison.Ordinal)).ToList();
        Assert.That(named, Does.Contain($"joblocks.lock.name={_template}{shown}"));
        Assert.That(named, Has.Count.EqualTo(2).And.All.Length.LessThan(300));
    }

    [Test]
    public async Task Tells_how_many_locks_are_held_and_whether_the_session_is_open(CancellationToken stop)
    {
        await using var held = await _locks.TryAcquireAsync(_template, stop);

        _listener.RecordObservableInstruments();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(_measured.Where(static one => one.Instrument is "joblocks.locks.held").Select(static one => one.Value), Has.Some.EqualTo(1));
            Assert.That(_measured.Where(static one => one.Instrument is "joblocks.session.open").Select(static one => one.Value), Has.Some.EqualTo(1));
            Assert.That(_measured.Where(static one => one.Instrument is "joblocks.statement.operations").Select(static one => one.Value), Has.Some.GreaterThanOrEqualTo(1));
        }
    }

    [Test]
    public async Task Counts_the_locks_that_are_lost(CancellationToken stop)
    {
        await using var held = await _locks.TryAcquireAsync(_template, stop);
        var lost = held!.WhenLost();

        await LockTable.EndSessionsAsync(_database);
        await lost.WaitAsync(stop);
        // It is told before it is counted.
        while (Losses() == 0) stop.ThrowIfCancellationRequested();

        Assert.That(Losses(), Is.EqualTo(1));

        double Losses() => _measured.Where(static one => one.Instrument is "joblocks.losses").Sum(static one => one.Value);
    }

    [Test]
    public void Is_described_in_the_docs_as_it_is()
    {
        var described = DocsTests.Read("metrics-and-logs.md").Split('\n')
            .Where(static line => line.StartsWith("| `joblocks.", StringComparison.Ordinal) && line.Count(static letter => letter == '|') == 6)
            .Select(static line => line.Split('|')[1..4].Select(static cell => cell.Trim().Trim('`')).ToList())
            .Select(static cells => $"{cells[0]} {cells[1]} {cells[2]}");

        Assert.That(described, Is.EquivalentTo(_instruments.Values.Select(static one => $"{one.Name} {Kind(one)} {one.Unit}")));
    }

    private static string Kind(Instrument instrument) => instrument.GetType().Name.Split('`')[0] switch
    {
        "ObservableUpDownCounter" => "up-down counter",
        "ObservableGauge" => "gauge",
        var name => name.ToLowerInvariant(),
    };

    private JobCall Call(OnConflict what) => Calls.Order(_template, what);

    private void Note<T>(Instrument instrument, T value, ReadOnlySpan<KeyValuePair<string, object?>> tags)
        where T : struct, IConvertible =>
        _measured.Enqueue((instrument.Name, value.ToDouble(CultureInfo.InvariantCulture), string.Join(';', tags.ToArray().Select(static tag => $"{tag.Key}={tag.Value}"))));
}
