using JobLocks.Quartz.Tests.Support;
using Quartz;

namespace JobLocks.Quartz.Tests.Mechanisms;

/// <summary>Adds one to an entry of its own data.</summary>
public abstract class CountingJob : IJob
{
    public const string Count = "count";

    public async ValueTask Execute(IJobExecutionContext context, CancellationToken cancellationToken = default)
    {
        var data = context.JobDetail.JobDataMap;
        var before = data.TryGetInt(Count, out var count) ? count : 0;
        await Scene.PlayAsync(context, cancellationToken);
        data[Count] = before + 1;
    }
}

#pragma warning disable QZ0003 // The lock is to do what [DisallowConcurrentExecution] would do here.
[PersistJobDataAfterExecution, JobLock("scene({scene})")]
public sealed class WaitingCountingJob : CountingJob;

[PersistJobDataAfterExecution, JobLock("scene({scene})", OnConflict = OnConflict.Reschedule, RetryAfterSeconds = 1)]
public sealed class ReschedulingCountingJob : CountingJob;
#pragma warning restore QZ0003

[DisallowConcurrentExecution, JobLock("scene({scene})")]
public sealed class WaitingSerialJob : PlainJob;

[DisallowConcurrentExecution, JobLock("scene({scene})", OnConflict = OnConflict.Reschedule, RetryAfterSeconds = 1)]
public sealed class ReschedulingSerialJob : PlainJob;

/// <summary>Several of them may run at once, as far as the lock goes.</summary>
[JobLock("scene({scene})", Mode = LockMode.Shared)]
public sealed class WaitingSharedJob : PlainJob;

[JobLock("scene({scene})", Mode = LockMode.Shared, OnConflict = OnConflict.Reschedule, RetryAfterSeconds = 1)]
public sealed class ReschedulingSharedJob : PlainJob;

[RetryPolicy(1, "00:00:01"), JobLock("scene({scene})")]
public sealed class WaitingRetriedJob : PlainJob;

[RetryPolicy(1, "00:00:01"), JobLock("scene({scene})", OnConflict = OnConflict.Reschedule, RetryAfterSeconds = 1)]
public sealed class ReschedulingRetriedJob : PlainJob;

/// <summary>May run for a second; to wait does not count.</summary>
[JobTimeout("00:00:01"), JobLock("scene({scene})")]
public sealed class WaitingTimedJob : PlainJob;

[JobTimeout("00:00:01"), JobLock("scene({scene})", OnConflict = OnConflict.Reschedule, RetryAfterSeconds = 1)]
public sealed class ReschedulingTimedJob : PlainJob;

/// <summary>Counts how often it is constructed.</summary>
public abstract class ConstructedJob : PlainJob
{
    protected ConstructedJob(Constructions constructions) => constructions.Add();
}

[JobLock("scene({scene})")]
public sealed class WaitingConstructedJob(Constructions constructions) : ConstructedJob(constructions);

[JobLock("scene({scene})", OnConflict = OnConflict.Reschedule, RetryAfterSeconds = 1)]
public sealed class ReschedulingConstructedJob(Constructions constructions) : ConstructedJob(constructions);

public sealed class Constructions
{
    private int _count;

    public int Count => _count;

    public void Add() => Interlocked.Increment(ref _count);
}

[JobLock("scene({input.Scene})")]
public sealed class WaitingInputJob : IJob<JobInput>
{
    public ValueTask Execute(IJobExecutionContext context, JobInput input, CancellationToken cancellationToken = default)
    {
        context.MergedJobDataMap[Scene.Key] = input.Scene;
        return Scene.PlayAsync(context, cancellationToken);
    }
}
