using System.Collections.Concurrent;
using System.Diagnostics;
using JobLocks.Diagnostics;
using JobLocks.Gate;
using JobLocks.Tests.Support;
using JobLocks.WaitQueue;

namespace JobLocks.Tests.Inspection;

/// <summary>What the trace of a run shows of its locks.</summary>
[TestFixture, CancelAfter(60_000)]
public sealed class TraceTests
{
    private readonly ConcurrentQueue<Activity> _ended = new();
    private string _template = "";
    private string _database = "";
    private ActivityListener _listener = null!;

    private IEnumerable<Activity> Ours => _ended.Where(span => span.GetTagItem("joblocks.lock.template") is string template && string.Equals(template, _template, StringComparison.Ordinal));

    [SetUp]
    public async Task Listen()
    {
        _ended.Clear();
        _template = $"traced-{Guid.NewGuid():N}({{client}})";
        _database = await AssemblySetup.Server.CreateDatabaseAsync("traces");
        _listener = new()
        {
            ShouldListenTo = static source => string.Equals(source.Name, LockMeter.Name, StringComparison.Ordinal),
            Sample = static (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllDataAndRecorded,
            ActivityStopped = _ended.Enqueue,
        };
        ActivitySource.AddActivityListener(_listener);
    }

    [TearDown]
    public void Close() => _listener.Dispose();

    [Test]
    public async Task Shows_the_take_within_the_activity_of_the_run_and_linked_to_the_one_that_made_the_job(CancellationToken stop)
    {
        await using var locks = AdvisoryLocks.Connect(_database);
        var made = new ActivityContext(ActivityTraceId.CreateRandom(), ActivitySpanId.CreateRandom(), ActivityTraceFlags.Recorded);
        using var run = new Activity("a run").Start();

        using var admitted = (Admission.Admitted)await JobGate.To(locks).TryEnterAsync(Call(OnConflict.Skip) with { CreatedBy = made }, stop);
        await JobGate.To(locks).TryEnterAsync(Call(OnConflict.Fail) with { JobId = "2" }, stop);

        var spans = Ours.ToList();
        Assert.That(spans, Has.Count.EqualTo(2));
        using (Assert.EnterMultipleScope())
        {
            Assert.That(spans.Select(static span => span.OperationName), Is.All.EqualTo(LockTraces.Request));
            Assert.That(spans.Select(static span => span.ParentSpanId), Is.All.EqualTo(run.SpanId));
            Assert.That(Tags(spans, "joblocks.outcome"), Is.EqualTo("admitted, failed"));
            Assert.That(Tags(spans, "joblocks.job.id"), Is.EqualTo("1, 2"));
            Assert.That(spans.Select(static span => span.Status), Is.EqualTo(new[] { ActivityStatusCode.Unset, ActivityStatusCode.Error }));
            Assert.That(spans[0].Links.Select(static link => link.Context), Is.EqualTo(new[] { made }));
            Assert.That(spans.SelectMany(static span => span.TagObjects), Has.None.Matches<KeyValuePair<string, object?>>(static tag => tag.Value is string text && text.EndsWith("(4)", StringComparison.Ordinal)));
            Assert.That(Activity.Current, Is.SameAs(run));
        }
    }

    [Test]
    public async Task Shows_the_time_in_the_queue_once_the_run_is_admitted(CancellationToken stop)
    {
        await using var locks = AdvisoryLocks.Connect(_database);
        var gate = JobGate.To(locks);
        var address = new RunAddress("Test store", "1", "");
        var first = (Admission.Admitted)await gate.TryEnterAsync(Call(OnConflict.Wait), stop);
        await gate.TryEnterAsync(Call(OnConflict.Wait) with { Address = _ => address }, stop);
        Assert.That(Ours.Select(static span => span.OperationName), Has.None.EqualTo(LockTraces.Wait));
        first.Dispose();

        using var later = (Admission.Admitted)await gate.TryEnterAsync(Call(OnConflict.Wait) with { Address = _ => address, MayHaveQueueEntry = true }, stop);

        var takes = Ours.Where(static span => span.OperationName is LockTraces.Request).ToList();
        var wait = Ours.Single(static span => span.OperationName is LockTraces.Wait);
        using (Assert.EnterMultipleScope())
        {
            Assert.That(Tags(takes, "joblocks.outcome"), Is.EqualTo("admitted, waits, admitted"));
            Assert.That(wait.StartTimeUtc, Is.GreaterThanOrEqualTo(takes[1].StartTimeUtc.AddSeconds(-1)).And.LessThanOrEqualTo(takes[2].StartTimeUtc + takes[2].Duration));
            Assert.That(wait.Duration, Is.GreaterThan(TimeSpan.Zero));
        }
    }

    [Test]
    public async Task Names_the_lock_only_where_an_option_asks_for_it(CancellationToken stop)
    {
        await using var locks = AdvisoryLocks.Connect(_database, static options => options.NamesInTelemetry = true);

        using var admitted = (Admission.Admitted)await JobGate.To(locks).TryEnterAsync(Call(OnConflict.Skip), stop);

        Assert.That(Ours.Single().GetTagItem("joblocks.lock.name"), Is.EqualTo(_template.Replace("{client}", "4", StringComparison.Ordinal)));
    }

    private static string Tags(IEnumerable<Activity> spans, string tag) => string.Join(", ", spans.Select(span => span.GetTagItem(tag)));

    private JobCall Call(OnConflict what) => Calls.Order(_template, what);
}
