using Hangfire.Common;
using Hangfire.States;
using JobLocks.Hangfire.Tests.Support;

namespace JobLocks.Hangfire.Tests;

/// <summary>What filters of others see of a run that meets a held lock, whatever their order is.</summary>
[TestFixture]
public sealed class SeenByOtherFiltersTests : RealServers
{
    private readonly OtherFilters _others = new();

    private protected override HangfireSetup Setup => new() { Filters = _others };

    [TestCase(nameof(OrderedJob.Wait), -1)]
    [TestCase(nameof(OrderedJob.WaitLate), 10)]
    [TestCase(nameof(OrderedJob.Reschedule), -1)]
    [TestCase(nameof(OrderedJob.RescheduleLate), 10)]
    [CancelAfter(60_000)]
    public async Task See_a_run_that_is_put_off_as_canceled_and_never_as_deleted(string method, int orderOfLock, CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();
        var held = await Servers[1].Locks!.TryAcquireAsync(stage.LockName, stop);

        var id = Enqueue(method, stage);
        await _others.NextAsync(id, "applied Scheduled", stop);
        await Servers.StoredAsync(id, ScheduledState.StateName, stop);
        var seen = OtherFilters.Orders.ToDictionary(static order => order, order => _others.SeenOf(id, order));
        var history = Servers[0].Storage.GetMonitoringApi().JobDetails(id).History.Select(static state => state.StateName);
        await held!.DisposeAsync();
        await Servers.States.NextAsync<SucceededState>(id, stop);

        using (Assert.EnterMultipleScope())
        {
            foreach (var (order, sights) in seen)
            {
                string[] performed = order < orderOfLock || (order == -1 && orderOfLock == -1) ? ["performing", "performed, canceled"] : [];
                Assert.That(
                    sights.SkipWhile(static sight => !string.Equals(sight, "elects Processing", StringComparison.Ordinal)),
                    Is.EqualTo(["elects Processing", "applied Processing", .. performed, "elects Scheduled", "applied Scheduled"]),
                    $"order {order}");
            }

            Assert.That(history, Is.EqualTo([ScheduledState.StateName, ProcessingState.StateName, EnqueuedState.StateName]));
            Assert.That(_others.SeenOf(id, int.MaxValue), Has.Exactly(1).EqualTo("performed"));
            Assert.That(_others.SeenOf(id, int.MinValue), Has.None.Contains("Deleted").And.None.Contains("exception"));
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task See_a_run_that_is_failed_as_failed(CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();
        await using var held = await Servers[1].Locks!.TryAcquireAsync(stage.LockName, stop);

        var id = Enqueue(nameof(OrderedJob.Fail), stage);
        var end = await Servers.States.NextAsync<FailedState>(id, stop);
        var stored = await Servers.StoredAsync(id, FailedState.StateName, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(end.Reason, Does.StartWith($"Failed: {stage.LockName} is held by "));
            Assert.That(stored.History.Select(static state => state.StateName), Is.EqualTo([FailedState.StateName, ProcessingState.StateName, EnqueuedState.StateName]));
            Assert.That(
                _others.SeenOf(id, int.MaxValue).SkipWhile(static sight => !string.Equals(sight, "applied Processing", StringComparison.Ordinal)),
                Is.EqualTo(["applied Processing", "exception JobLockConflictException", "elects Failed", "applied Failed"]));
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task See_a_run_that_is_skipped_as_canceled_and_deleted(CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();
        await using var held = await Servers[1].Locks!.TryAcquireAsync(stage.LockName, stop);

        var id = Enqueue(nameof(OrderedJob.Skip), stage);
        await Servers.States.NextAsync<DeletedState>(id, stop);

        Assert.That(
            _others.SeenOf(id, -1).SkipWhile(static sight => !string.Equals(sight, "applied Processing", StringComparison.Ordinal)),
            Is.EqualTo(["applied Processing", "performing", "performed, canceled", "traversed Deleted", "elects Deleted", "applied Deleted"]));
    }

    private string Enqueue(string method, Stage stage) =>
        Servers.Client.Create(new Job(typeof(OrderedJob), typeof(OrderedJob).GetMethod(method), (object[])[stage.Id]), new EnqueuedState());
}
