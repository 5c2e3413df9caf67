using System.Collections.Concurrent;
using System.Diagnostics;
using System.Diagnostics.Metrics;
using JobLocks.Quartz.Tests.Support;
using Microsoft.Extensions.DependencyInjection;
using Quartz;
using Quartz.Diagnostics;

namespace JobLocks.Quartz.Tests.Mechanisms;

/// <summary>What surrounds a run: middleware, the job's construction, time limits, spans, metrics.</summary>
[TestFixture, CancelAfter(90_000)]
public sealed class MachineryTests : MechanismFixture
{
    [Test, Pairwise]
    public async Task Passes_through_the_middleware_of_others_once_and_only_when_it_runs([Values] Store store, [Values] PutOff how, [Values] bool outer)
    {
        var middleware = new CountingMiddleware();
        var node = await StartWatchedAsync(store, settings => outer
            ? settings with { Before = quartz => quartz.AddJobMiddleware(middleware) }
            : settings with { After = quartz => quartz.AddJobMiddleware(middleware) });
        var others = await OthersHoldAsync();
        await ScheduleAsync(node, JobType(how));
        await IsPutOffAsync(node, how);
        var early = middleware.Count;

        await others.DisposeAsync();
        await RunEndsAsync(node);

        Assert.That((early, middleware.Count), Is.EqualTo((0, 1)));
    }

    [Test]
    public async Task Has_its_job_constructed_in_one_scope_and_only_when_it_runs([Values] Store store, [Values] PutOff how)
    {
        var (constructions, scopes) = (new Constructions(), new Constructions());
        var node = await StartWatchedAsync(store, settings => settings with
        {
            Before = quartz =>
            {
                quartz.Services.AddSingleton(constructions);
                quartz.ConfigureJobScope((_, _, _) => scopes.Add());
            },
        });
        var others = await OthersHoldAsync();
        await ScheduleAsync(node, how == PutOff.Wait ? typeof(WaitingConstructedJob) : typeof(ReschedulingConstructedJob));
        await IsPutOffAsync(node, how);
        var early = (constructions.Count, scopes.Count);

        await others.DisposeAsync();
        await RunEndsAsync(node);

        Assert.That(early, Is.EqualTo((0, 0)), "constructed while it is put off");
        Assert.That((constructions.Count, scopes.Count), Is.EqualTo((1, 1)));
    }

    [Test]
    public async Task Does_not_count_the_time_for_which_it_was_put_off([Values] Store store, [Values] PutOff how)
    {
        var node = await StartWatchedAsync(store, static settings => settings with { Before = static quartz => quartz.AddJobTimeout() });
        var others = await OthersHoldAsync();
        await ScheduleAsync(node, how == PutOff.Wait ? typeof(WaitingTimedJob) : typeof(ReschedulingTimedJob));
        await IsPutOffAsync(node, how);
        await PassAsync(TimeSpan.FromSeconds(1.5));

        var released = TimeProvider.System.GetUtcNow();
        await others.DisposeAsync();
        var run = await RunEndsAsync(node);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(run.Stop.IsCancellationRequested, Is.False, "stopped by its time limit");
            Assert.That(run.Context.JobRunTime, Is.LessThan(TimeSpan.FromSeconds(1.5)));
            Assert.That(run.Context.FireTimeUtc, Is.GreaterThan(released.AddSeconds(-1)));
            Assert.That(run.Context.Outcome, Is.EqualTo(ExecutionOutcome.Succeeded));
        }
    }

    [Test]
    public async Task Is_still_stopped_by_its_time_limit_when_it_runs([Values] Store store, [Values] PutOff how)
    {
        var node = await StartWatchedAsync(store, static settings => settings with { Before = static quartz => quartz.AddJobTimeout() });
        var others = await OthersHoldAsync();
        Scene.Act = static run => run.UntilToldOrStoppedAsync();
        await ScheduleAsync(node, how == PutOff.Wait ? typeof(WaitingTimedJob) : typeof(ReschedulingTimedJob));
        await IsPutOffAsync(node, how);

        await others.DisposeAsync();
        var run = await RunEndsAsync(node);

        Assert.That(run.Context.Outcome, Is.Not.EqualTo(ExecutionOutcome.Succeeded));
    }

    [Test]
    public async Task Has_one_span_of_an_execution_and_none_of_a_veto([Values] Store store, [Values] PutOff how)
    {
        var ended = new ConcurrentQueue<Activity>();
        using var listener = new ActivityListener
        {
            ShouldListenTo = static source => source.Name is QuartzInstrumentation.ActivitySourceName,
            Sample = static (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllDataAndRecorded,
            ActivityStopped = ended.Enqueue,
        };
        ActivitySource.AddActivityListener(listener);
        var node = await StartWatchedAsync(store);
        var others = await OthersHoldAsync();
        await ScheduleAsync(node, JobType(how));
        await IsPutOffAsync(node, how);
        var early = Mine(node);

        await others.DisposeAsync();
        await RunEndsAsync(node);

        Assert.That(early, Is.Empty, "spans while it is put off");
        Assert.That(Mine(node), Is.EqualTo(["Quartz.Job.Execute"]));

        IReadOnlyList<string> Mine(Watched of) => [.. ended
            .Where(span => Equals(span.GetTagItem("quartz.scheduler.id"), of.Scheduler.SchedulerInstanceId))
            .Select(static span => span.OperationName)
            .Where(static name => name.StartsWith("Quartz.Job.", StringComparison.Ordinal))];
    }

    [Test]
    public async Task Is_measured_as_one_execution_and_as_no_misfire_or_retry([Values] Store store, [Values] PutOff how)
    {
        var measured = new ConcurrentQueue<(string Instrument, object? Scheduler)>();
        using var listener = new MeterListener
        {
            InstrumentPublished = static (instrument, listener) =>
            {
                if (instrument.Name is QuartzInstrumentation.Instruments.JobExecutionDuration
                    or QuartzInstrumentation.Instruments.TriggerMisfire
                    or QuartzInstrumentation.Instruments.TriggerRetry) listener.EnableMeasurementEvents(instrument);
            },
        };
        listener.SetMeasurementEventCallback<double>((instrument, _, tags, _) => Measure(instrument, tags));
        listener.SetMeasurementEventCallback<long>((instrument, _, tags, _) => Measure(instrument, tags));
        listener.Start();
        var node = await StartWatchedAsync(store);
        var others = await OthersHoldAsync();
        await ScheduleAsync(node, JobType(how));
        await IsPutOffAsync(node, how);
        var early = Of(node);

        await others.DisposeAsync();
        await RunEndsAsync(node);

        Assert.That(early, Is.Empty);
        Assert.That(Of(node), Is.EqualTo([QuartzInstrumentation.Instruments.JobExecutionDuration]));

        void Measure(Instrument instrument, ReadOnlySpan<KeyValuePair<string, object?>> tags)
        {
            foreach (var tag in tags)
                if (tag.Key is "quartz.scheduler.id") measured.Enqueue((instrument.Name, tag.Value));
        }

        IReadOnlyList<string> Of(Watched node) => [.. measured.Where(measure => Equals(measure.Scheduler, node.Scheduler.SchedulerInstanceId)).Select(static measure => measure.Instrument)];
    }

    private sealed class CountingMiddleware : IJobExecutionMiddleware
    {
        private int _count;

        public int Count => _count;

        public ValueTask Invoke(IJobExecutionContext context, JobExecutionDelegate next, CancellationToken cancellationToken = default)
        {
            Interlocked.Increment(ref _count);
            return next(context, cancellationToken);
        }
    }
}
