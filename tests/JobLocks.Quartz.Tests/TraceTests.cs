using System.Collections.Concurrent;
using System.Diagnostics;
using JobLocks.Quartz.Tests.Support;

namespace JobLocks.Quartz.Tests;

public sealed class TraceTests : QuartzFixture
{
    private readonly ConcurrentQueue<Activity> _ended = new();
    private ActivityListener _listener = null!;

    [SetUp]
    public void Listen()
    {
        _ended.Clear();
        _listener = new()
        {
            ShouldListenTo = static source => source.Name is "JobLocks" or "Quartz",
            Sample = static (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllDataAndRecorded,
            ActivityStopped = _ended.Enqueue,
        };
        ActivitySource.AddActivityListener(_listener);
    }

    [TearDown]
    public void Close() => _listener.Dispose();

    [TestCase(true), TestCase(false)]
    public async Task Links_the_run_to_the_trace_that_scheduled_it_though_it_was_put_back_or_waited_meanwhile(bool waits)
    {
        var node = await StartNodeAsync(Store.Ado);
        var others = await OthersHoldAsync();
        ActivityTraceId trace;
        using (var request = new Activity("a request").Start())
        {
            trace = request.TraceId;
            if (waits) await node.RunAsync<WaitingJob>(Scene);
            else await node.RunAsync<ReschedulingJob>(Scene);
        }

        await node.Told.NextPutBackAsync();
        await others.DisposeAsync();
        var run = await Scene.NextRunAsync();
        await node.Told.NextEndAsync();

        var linked = _ended.Where(span => span.Links.Any(link => link.Context.TraceId == trace)).ToList();
        using (Assert.EnterMultipleScope())
        {
            Assert.That(run.Handle, Is.Not.Null);
            Assert.That(linked.Where(static span => span.OperationName is "joblocks.request").Select(static span => span.GetTagItem("joblocks.outcome")), Is.EqualTo(new[] { waits ? "waits" : "rescheduled", "admitted" }));
            Assert.That(linked.Count(static span => span.OperationName is "joblocks.wait"), Is.EqualTo(waits ? 1 : 0));
            Assert.That(_ended.Where(static span => span.OperationName is "joblocks.reschedule").Select(static span => span.TraceId), Is.Not.Empty.And.All.EqualTo(trace));
        }
    }
}
