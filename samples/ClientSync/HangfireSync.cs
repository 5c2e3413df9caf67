using Hangfire;
using JobLocks;
using JobLocks.Hangfire;

namespace ClientSync;

/// <summary>The job as Hangfire runs it. The retries are for a run whose lock was lost: it was stopped half-way.</summary>
[AutomaticRetry(Attempts = 100, DelaysInSeconds = [1])]
internal sealed class HangfireSync(StrikeImport import)
{
    [JobLock("sync({clientId})", RetryAfterSeconds = 1)]
    public Task Run(int clientId, CancellationToken stop) => import.SyncAsync(clientId, "Hangfire", stop);

    [JobLock("sync({clientId})", OnConflict = OnConflict.Reschedule, RetryAfterSeconds = 1)]
    public Task RunOrReschedule(int clientId, CancellationToken stop) => import.SyncAsync(clientId, "Hangfire", stop);

    [JobLock("sync({clientId})", OnConflict = OnConflict.Skip, RetryAfterSeconds = 1)]
    public Task RunOrSkip(int clientId, CancellationToken stop) => import.SyncAsync(clientId, "Hangfire", stop);

    [JobLock("sync({clientId})", OnConflict = OnConflict.Fail, RetryAfterSeconds = 1), AutomaticRetry(Attempts = 0)]
    public Task RunOrFail(int clientId, CancellationToken stop) => import.SyncAsync(clientId, "Hangfire", stop);

    public Task RunWithoutLock(int clientId, CancellationToken stop) => import.SyncAsync(clientId, "Hangfire", stop);
}
