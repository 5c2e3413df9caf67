using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace JobLocks.Hosting;

/// <summary>
/// Healthy where the server answers on the session that holds the locks. Degraded where it answers, but a part of JobLocks does not work: for
/// example, runs cannot wait in the queue, handles have no fencing tokens, holders are not shown, or another program holds an internal lock.
/// </summary>
internal sealed class JobLocksHealthCheck(AdvisoryLocks locks) : IHealthCheck
{
    public async Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default)
    {
        try
        {
            await locks.EnsureSessionAsync(cancellationToken).ConfigureAwait(false);
            return locks.FirstLimitation is { } limitation
                ? HealthCheckResult.Degraded($"PostgreSQL at {locks.Server} keeps the locks, but {limitation}", data: Data(isSessionOpen: true))
                : HealthCheckResult.Healthy($"PostgreSQL at {locks.Server} keeps the locks.", Data(isSessionOpen: true));
        }
        catch (Exception failure) when (failure is JobLocksUnavailableException or ObjectDisposedException)
        {
            return new(context.Registration.FailureStatus, failure.Message, failure, Data(isSessionOpen: false));
        }
    }

    private Dictionary<string, object> Data(bool isSessionOpen) => new(StringComparer.Ordinal)
    {
        ["server"] = locks.Server,
        ["sessionOpen"] = isSessionOpen,
        ["locksHeld"] = locks.CountHeld,
    };
}
