using System.Diagnostics;
using System.Diagnostics.Metrics;
using JobLocks.Gate;
using JobLocks.Locks;
using JobLocks.Naming;
using JobLocks.Primitives;
using JobLocks.Rules;
using JobLocks.Tests.Support;
using JobLocks.WaitQueue;

namespace JobLocks.Tests.Inspection;

/// <summary>Names and messages of 10 MB: whole in what identifies a lock, cut in every text.</summary>
[TestFixture, CancelAfter(120_000)]
public sealed class LongTextTests
{
    private const int Long = 10 * 1024 * 1024;
    private const int LongestText = 6000;

    private string _connectionString = "";
    private string _name = "";
    private LogLines _log = null!;
    private AdvisoryLocks _locks = null!;
    private AdvisoryLocks _others = null!;

    [OneTimeSetUp]
    public async Task CreateDatabase() => _connectionString = await AssemblySetup.Server.CreateDatabaseAsync(nameof(LongTextTests));

    [SetUp]
    public void Connect()
    {
        _name = $"{Guid.NewGuid():N} {new string('x', Long)}";
        _log = new();
        _locks = AdvisoryLocks.Connect(_connectionString, loggers: _log);
        _others = AdvisoryLocks.Connect(_connectionString, loggers: _log);
    }

    [TearDown]
    public async Task Says_nothing_long()
    {
        await _locks.DisposeAsync();
        await _others.DisposeAsync();
        var text = _log.Text;
        _log.Dispose();

        Assert.That(text.Length, Is.LessThan(200_000));
    }

    [Test]
    public async Task Cuts_the_name_in_the_time_out_of_every_way_to_wait(CancellationToken stop)
    {
        await using var held = (await _others.TryAcquireAsync(_name, stop))!;

        Exception[] errors =
        [
            (await Assert.ThrowsAsync<TimeoutException>(() => _locks.AcquireAsync(_name, TimeSpan.Zero, stop)))!,
            (await Assert.ThrowsAsync<TimeoutException>(() => _locks.AcquireAsync(_name, LockMode.Shared, TimeSpan.Zero, stop)))!,
            Assert.Throws<TimeoutException>(() => _locks.Acquire(_name, TimeSpan.Zero, stop))!,
            Assert.Throws<TimeoutException>(() => _others.Acquire(_name, TimeSpan.Zero, stop))!,
        ];

        using (Assert.EnterMultipleScope())
        {
            Assert.That(errors.Select(static error => error.Message.Length), Is.All.LessThan(1000));
            Assert.That(errors.Select(static error => error.Message), Is.All.Contain($"({_name.Length} characters) was not free"));
            Assert.That(held.ToString(), Has.Length.LessThan(300));
            Assert.That(held.Name, Is.EqualTo(_name), "the handle itself knows the whole name");
        }
    }

    [Test]
    public async Task Keeps_names_apart_that_differ_after_the_cut(CancellationToken stop)
    {
        await using var held = await _locks.TryAcquireAsync(_name + "1", stop);
        await using var other = await _others.TryAcquireAsync(_name + "2", stop);
        await using var set = await _others.TryAcquireAllAsync([_name + "3", _name + "4"], stop);
        using var here = _others.TryAcquire(_name + "5", stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(new object?[] { held, other, set, here }, Has.None.Null);
            Assert.That(await _others.TryAcquireAsync(_name + "1", stop), Is.Null);
            Assert.That(await _others.TryAcquireAllAsync([_name + "1", _name + "6"], stop), Is.Null);
        }
    }

    [Test]
    public async Task Cuts_the_name_in_what_is_said_of_a_transaction_that_is_over(CancellationToken stop)
    {
        await using var connection = await Raw.OpenAsync(_connectionString, stop);
        var transaction = await connection.BeginTransactionAsync(stop);
        await using var handle = (await _locks.TryAcquireAsync(_name, transaction, stop))!;
        var none = Assert.Throws<InvalidOperationException>(() => _ = handle.FencingToken);
        await transaction.CommitAsync(stop);

        var error = await Assert.ThrowsAsync<ArgumentException>(() => _locks.TryAcquireAsync(_name, transaction, stop));

        Assert.That(error!.Message.Length + none!.Message.Length, Is.LessThan(2000));
    }

    [Test]
    public async Task Cuts_name_and_run_in_the_answers_of_the_gate(CancellationToken stop)
    {
        var gate = JobGate.To(_locks, _log);
        var call = Calls.Call("{0}", ("name", _name)) with { JobId = _name };
        var admitted = (Admission.Admitted)await gate.TryEnterAsync(call, stop);

        var waits = (Admission.Waits)await gate.TryEnterAsync(call with { JobId = "1", Address = static _ => new RunAddress("Test store", "1", "") { Job = "job" } }, stop);
        var refused = (Admission.Refused)await gate.TryEnterAsync(call with { JobId = _name + "2", Rules = [LockRule.For(new("{0}", OnConflict.Fail, 15), call.Job)] }, stop);
        var told = admitted.First.WhenLost();
        await _locks.Inspector.RequestReleaseAsync(admitted.First.Key, _name, TimeSpan.FromSeconds(5), stop);
        await told.WaitAsync(stop);
        var reason = admitted.First.LostReason;
        admitted.Dispose();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(waits.Reason, Has.Length.LessThan(LongestText).And.StartsWith(JobGate.WaitReason));
            Assert.That(refused.Reason, Has.Length.LessThan(LongestText));
            Assert.That(reason, Has.Length.LessThan(LongestText));
            Assert.That(new JobLockConflictException(_name).Message, Has.Length.LessThan(LongestText));
            Assert.That(new JobLockLostException(_name).Message, Has.Length.LessThan(LongestText));
            Assert.That(new JobLocksUnavailableException(_name).Message, Has.Length.LessThan(LongestText));
        }
    }

    [Test]
    public void Cuts_what_a_rule_error_quotes_and_keeps_the_cure()
    {
        var job = JobSignature.Of(typeof(ClientSync), nameof(ClientSync.Run), [new("clientId", typeof(int), IsFilledByScheduler: false)]);

        var template = Assert.Throws<JobLockRuleException>(() => LockRule.For(new(_name + "{nobody}", OnConflict.Wait, 15), job));
        var placeholder = Assert.Throws<JobLockRuleException>(() => LockRule.For(new($"{{{_name}}}", OnConflict.Wait, 15), job));
        var thrown = Assert.Throws<JobLockRuleException>(() => Calls.NameOf("{order.Broken}", ("order", new Order(_name))));

        using (Assert.EnterMultipleScope())
        {
            foreach (var error in new[] { template!, placeholder!, thrown! }) Assert.That(error.Message, Has.Length.LessThan(LongestText));
            Assert.That(template!.Message, Does.Contain("Use one of these"));
            Assert.That(placeholder!.Message, Does.Contain("Use one of these"));
            Assert.That(thrown!.Message, Does.Contain("Name a property that only returns a value"));
        }
    }

    [Test]
    public async Task Cuts_names_for_inspection_and_finds_them_by_the_whole_name(CancellationToken stop)
    {
        var limited = new LockRequest(_name, LockKey.Of(_name), LockMode.Exclusive, 2);
        using var held = (await ((ILockBackend)_locks).TryAcquireAllAsync([limited], new() { Run = $"Quartz job {_name}" }, null, blocks: false, stop)).Handles[0];
        var inspector = _others.Inspector;
        IReadOnlyList<LockMatch> found = [];
        while (found.Count == 0)
        {
            found = await inspector.FindAsync(_name, stop);
            await Task.Delay(50, stop);
        }

        var all = await inspector.GetHeldAsync(stop: stop);
        var here = await _locks.Inspector.GetHeldAsync(stop: stop);
        var name = await inspector.GetNameAsync(LockKey.Of(_name), stop);
        using (Assert.EnterMultipleScope())
        {
            Assert.That(found[0].Key, Is.EqualTo(LockKey.Of(_name)));
            Assert.That(found[0].Name, Has.Length.LessThan(300));
            Assert.That(name.Name, Has.Length.LessThan(300));
            Assert.That(all.Items.Concat(here.Items).Select(static one => one.Name?.Length ?? 0), Is.All.LessThan(300));
            Assert.That(all.Items.Concat(here.Items).Select(static one => one.Holder.ToString().Length), Is.All.LessThan(1000));
        }
    }

    [Test]
    public async Task Finds_a_run_with_a_long_job_key(CancellationToken stop)
    {
        var key = $"{new string('g', 200)}.{new string('n', 200)}";
        using var held = (await ((ILockBackend)_locks).TryAcquireAllAsync(
            [new(_name, LockKey.Of(_name))], new() { Run = $"Quartz job {key} fired NON_CLUSTERED1" }, null, blocks: false, stop)).Handles[0];

        string? sentence = null;
        while (sentence is null)
        {
            sentence = await _others.Inspector.ExplainAsync(key, stop);
            await Task.Delay(50, stop);
        }

        Assert.That(sentence, Does.StartWith("holds ").And.Length.LessThan(1000));
    }

    [Test]
    public async Task Cuts_tags_of_metrics_and_traces(CancellationToken stop)
    {
        await using var locks = AdvisoryLocks.Connect(_connectionString, static options => options.NamesInTelemetry = true);
        var longest = 0;
        using var spans = new ActivityListener
        {
            ShouldListenTo = static source => string.Equals(source.Name, "JobLocks", StringComparison.Ordinal),
            Sample = static (ref _) => ActivitySamplingResult.AllData,
            ActivityStopped = span => longest = Math.Max(longest, span.TagObjects.Max(static tag => tag.Value?.ToString()?.Length ?? 0)),
        };
        ActivitySource.AddActivityListener(spans);
        using var meters = new MeterListener { InstrumentPublished = static (instrument, listener) => { if (string.Equals(instrument.Meter.Name, "JobLocks", StringComparison.Ordinal)) listener.EnableMeasurementEvents(instrument); } };
        meters.SetMeasurementEventCallback<long>((_, _, tags, _) =>
        {
            foreach (var tag in tags) longest = Math.Max(longest, tag.Value?.ToString()?.Length ?? 0);
        });
        meters.Start();

        var job = JobSignature.Of(typeof(ClientSync));
        var call = Calls.Call(job, _name.Replace('{', '(')) with { JobId = _name };
        ((Admission.Admitted)await JobGate.To(locks).TryEnterAsync(call, stop)).Dispose();

        Assert.That(longest, Is.InRange(100, LongestText));
    }

    [Test]
    public void Cuts_no_character_in_half()
    {
        foreach (var offset in Enumerable.Range(0, 4))
        {
            var text = new string('a', offset) + string.Concat(Enumerable.Repeat("\U0001F512", 5000));

            foreach (var cut in new[] { DisplayText.Cut(text), DisplayText.Name(text), DisplayText.Short(text), DisplayText.Message(text)! })
                Assert.That(LockKey.Of(cut), Is.Not.EqualTo(default(LockKey)), "a text with half of a pair has no key");
        }
    }

    [TestCase(200, 200), TestCase(201, 170)]
    public void Leaves_a_text_whole_that_is_not_too_long(int length, int atMost) =>
        Assert.That(DisplayText.Cut(new('n', length)), Has.Length.AtMost(atMost).And.Length.GreaterThan(150));

    private sealed record Order(string Message)
    {
        public string Broken => throw new InvalidOperationException(Message);
    }
}
