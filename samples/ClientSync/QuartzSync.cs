using JobLocks;
using JobLocks.Quartz;
using Quartz;

namespace ClientSync;

/// <summary>The same job as Quartz runs it.</summary>
[JobLock("sync({clientId})", RetryAfterSeconds = 1)]
internal sealed class QuartzSync(StrikeImport import) : UnlockedQuartzSync(import);

[JobLock("sync({clientId})", OnConflict = OnConflict.Reschedule, RetryAfterSeconds = 1)]
internal sealed class QuartzSyncOrReschedule(StrikeImport import) : UnlockedQuartzSync(import);

[JobLock("sync({clientId})", OnConflict = OnConflict.Skip, RetryAfterSeconds = 1)]
internal sealed class QuartzSyncOrSkip(StrikeImport import) : UnlockedQuartzSync(import);

[JobLock("sync({clientId})", OnConflict = OnConflict.Fail, RetryAfterSeconds = 1)]
internal sealed class QuartzSyncOrFail(StrikeImport import) : UnlockedQuartzSync(import);

internal class UnlockedQuartzSync(StrikeImport import) : IJob
{
    public async ValueTask Execute(IJobExecutionContext context, CancellationToken cancellationToken = default) =>
        await import.SyncAsync(context.MergedJobDataMap.GetInt("clientId"), "Quartz", cancellationToken);
}
