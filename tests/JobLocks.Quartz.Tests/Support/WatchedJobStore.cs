using JobLocks.Quartz.Waiting;
using Quartz;
using Quartz.Extensibility;
using Quartz.Impl;

namespace JobLocks.Quartz.Tests.Support;

/// <summary>Stands between JobLocks and the job store, and says which runs are put back: nothing in Quartz announces that.</summary>
internal sealed class WatchedJobStore(IJobStore store, Told told) : DelegatingJobStore(store)
{
    /// <summary>Awaited when a run is fired, before it asks for its lock.</summary>
    public Func<ITrigger, Task> Fired { get; set; } = static _ => Task.CompletedTask;

    /// <summary>Awaited when a run is in the store that has to wait, before the queue is told.</summary>
    public Func<ITrigger, Task> PutBack { get; set; } = static _ => Task.CompletedTask;

    /// <summary>Awaited when a run has ended in the store.</summary>
    public Func<ITrigger, Task> Ended { get; set; } = static _ => Task.CompletedTask;

    /// <summary>Awaited when a trigger is asked for.</summary>
    public Func<TriggerKey, Task> Asked { get; set; } = static _ => Task.CompletedTask;

    public IStoredTriggers Triggers => new JobStoreTriggers(InnerJobStore);

    public override async ValueTask<TriggerAcquisitionResult> AcquireNextTriggersAndFireDue(TriggerAcquisitionRequest request, CancellationToken cancellationToken = default)
    {
        var acquired = await base.AcquireNextTriggersAndFireDue(request, cancellationToken);
        await WatchAsync(acquired.Fired);
        return acquired;
    }

    public override async ValueTask<List<TriggerFiredResult>> TriggersFired(IReadOnlyCollection<IOperableTrigger> triggers, CancellationToken cancellationToken = default)
    {
        var fired = await base.TriggersFired(triggers, cancellationToken);
        await WatchAsync(fired);
        return fired;
    }

    public override async ValueTask<IOperableTrigger?> GetTrigger(TriggerKey triggerKey, CancellationToken cancellationToken = default)
    {
        await Asked(triggerKey);
        return await base.GetTrigger(triggerKey, cancellationToken);
    }

    public override async ValueTask FiringComplete(TriggeredJobCompleteContext context, CancellationToken cancellationToken = default)
    {
        var isPutBack = HeldTrigger.HasMark(context.Trigger) && !HeldTrigger.IsWoken(context.Trigger) && context.Instruction == SchedulerInstruction.RetryTrigger;
        var trigger = (ITrigger)context.Trigger.Clone();
        await base.FiringComplete(context, cancellationToken);
        if (isPutBack) await SayAsync(trigger);
        else if (context.Outcome != ExecutionOutcome.NotExecuted) await Ended(trigger);
    }

    public override async ValueTask AddTrigger(IOperableTrigger trigger, AddTriggerOptions options = default, CancellationToken cancellationToken = default)
    {
        var copy = (ITrigger)trigger.Clone();
        await base.AddTrigger(trigger, options, cancellationToken);
        if (StandIn.Is(trigger.Key)) await SayAsync(copy);
    }

    private async Task WatchAsync(IEnumerable<TriggerFiredResult> fired)
    {
        foreach (var result in fired)
        {
            if (result.TriggerFiredBundle?.Trigger is { } trigger) await Fired(trigger);
        }
    }

    private async Task SayAsync(ITrigger trigger)
    {
        await PutBack(trigger);
        told.WasPutBack(trigger);
    }
}
