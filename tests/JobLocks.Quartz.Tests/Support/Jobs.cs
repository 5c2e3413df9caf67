using Quartz;

namespace JobLocks.Quartz.Tests.Support;

public class PlainJob : IJob
{
    public ValueTask Execute(IJobExecutionContext context, CancellationToken cancellationToken = default) => Scene.PlayAsync(context, cancellationToken);
}

[JobLock("scene({scene})", OnConflict = OnConflict.Reschedule, RetryAfterSeconds = 1)]
public sealed class ReschedulingJob : PlainJob;

[JobLock("scene({scene})", OnConflict = OnConflict.Skip, RetryAfterSeconds = 1)]
public sealed class SkippingJob : PlainJob;

[JobLock("scene({scene})")]
public sealed class WaitingJob : PlainJob;

[JobLock("scene({scene})", Mode = LockMode.Shared)]
public sealed class ReadingJob : PlainJob;

[JobLock("scene({scene})", WaitAtMostSeconds = 7200)]
public sealed class PatientJob : PlainJob;

[JobLock("scene({scene})", WaitAtMostSeconds = 1)]
public sealed class BriefJob : PlainJob;

[JobLock("scene({scene})", KeepWaiting = 1)]
public sealed class JoiningJob : PlainJob;

[JobLock("scene({scene})", KeepWaiting = 1, KeepNewest = true)]
public sealed class ReplacingJob : PlainJob;

[JobLock("scene({scene})", OnConflict = OnConflict.Fail)]
public sealed class FailingJob : PlainJob;

[JobLock("scene({scene}).{missing}")]
public sealed class MissingKeyJob : PlainJob;

/// <summary>Locked on its type and all of its data.</summary>
[JobLock(OnConflict = OnConflict.Reschedule, RetryAfterSeconds = 1)]
public sealed class CanonicalJob : PlainJob;

[JobLock("scene({input.Scene}).{input.Amount}")]
public sealed class InputJob : IJob<JobInput>
{
    public ValueTask Execute(IJobExecutionContext context, JobInput input, CancellationToken cancellationToken = default)
    {
        context.MergedJobDataMap[Scene.Key] = input.Scene;
        return Scene.PlayAsync(context, cancellationToken);
    }
}

[JobLock]
public sealed class CanonicalInputJob : IJob<JobInput>
{
    public ValueTask Execute(IJobExecutionContext context, JobInput input, CancellationToken cancellationToken = default)
    {
        context.MergedJobDataMap[Scene.Key] = input.Scene;
        return Scene.PlayAsync(context, cancellationToken);
    }
}

public sealed record JobInput(string Scene, decimal Amount);

[JobLock("first({scene})")]
public interface ILockedByInterface : IJob;

[JobLock("second({scene})")]
public class LockedBase : PlainJob;

[JobLock("third({scene})")]
public sealed class ManyLocksJob : LockedBase, ILockedByInterface;

[JobLock("sync({0})")]
public sealed class PositionJob : PlainJob;

[JobLock("sync({scene")]
public sealed class UnbalancedJob : PlainJob;

[JobLock(" ")]
public sealed class EmptyNameJob : PlainJob;

[JobLock("sync", RetryAfterSeconds = -1)]
public sealed class NegativeJob : PlainJob;

[JobLock("sync", OnConflict = (OnConflict)7)]
public sealed class UnknownOutcomeJob : PlainJob;
