using System.Threading.Channels;
using JobLocks.Quartz.Waiting;
using Quartz;

namespace JobLocks.Quartz.Tests.Support;

/// <summary>What Quartz announces, for a test to wait for.</summary>
internal sealed class Told : ITriggerListener, IJobListener, ISchedulerListener
{
    private readonly Channel<IJobExecutionContext> _vetoed = Channel.CreateUnbounded<IJobExecutionContext>();
    private readonly Channel<(IJobExecutionContext Context, JobExecutionException? Thrown)> _executed =
        Channel.CreateUnbounded<(IJobExecutionContext, JobExecutionException?)>();
    private readonly Channel<SchedulerErrorContext> _errors = Channel.CreateUnbounded<SchedulerErrorContext>();
    private readonly Channel<ITrigger> _putBack = Channel.CreateUnbounded<ITrigger>();

    string ITriggerListener.Name => "told";

    string IJobListener.Name => "told";

    string ISchedulerListener.Name => "told";

    public Task<IJobExecutionContext> NextVetoAsync() => _vetoed.Reader.ReadAsync().AsTask().Soon();

    public Task<(IJobExecutionContext Context, JobExecutionException? Thrown)> NextEndAsync() => _executed.Reader.ReadAsync().AsTask().Soon();

    public Task<SchedulerErrorContext> NextErrorAsync() => _errors.Reader.ReadAsync().AsTask().Soon();

    /// <summary>The next trigger that JobLocks put into the store, or back into it.</summary>
    public Task<ITrigger> NextPutBackAsync() => _putBack.Reader.ReadAsync().AsTask().Soon();

    public void WasPutBack(ITrigger trigger) => _putBack.Writer.TryWrite(trigger);

    ValueTask IJobListener.JobExecutionVetoed(IJobExecutionContext context, CancellationToken cancellationToken) =>
        _vetoed.Writer.WriteAsync(context, CancellationToken.None);

    ValueTask IJobListener.JobWasExecuted(IJobExecutionContext context, JobExecutionException? jobException, CancellationToken cancellationToken) =>
        _executed.Writer.WriteAsync((context, jobException), CancellationToken.None);

    ValueTask ISchedulerListener.SchedulerError(IScheduler scheduler, SchedulerErrorContext errorContext, CancellationToken cancellationToken) =>
        _errors.Writer.WriteAsync(errorContext, CancellationToken.None);

    ValueTask ISchedulerListener.JobScheduled(IScheduler scheduler, ITrigger trigger, CancellationToken cancellationToken) =>
        StandIn.Is(trigger.Key) ? _putBack.Writer.WriteAsync(trigger, CancellationToken.None) : default;
}
