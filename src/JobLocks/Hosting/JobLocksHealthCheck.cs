using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace JobLocks.Hosting;

/// <summary>
/// Healthy where the server answers on the very session that holds the locks. Degraded where it does, but runs cannot stand in line, handles have no
/// fencing tokens, it is not known who holds what, or another program holds a lock that JobLocks uses for its own work.
/// </summary>
internal sealed class JobLocksHealthCheck(AdvisoryLocks locks) : IHealthCheck
{
    public async Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default)
    {
        try
        {
            await locks.ProveAsync(cancellationToken).ConfigureAwait(false);
            return locks.Lacks is { } lacks
                ? HealthCheckResult.Degraded($"PostgreSQL at {locks.Server} keeps the locks, but {lacks}", data: Data(isOpen: true))
                : HealthCheckResult.Healthy($"PostgreSQL at {locks.Server} keeps the locks.", Data(isOpen: true));
        }
        catch (Exception trouble) when (trouble is JobLocksUnavailableException or ObjectDisposedException)
        {
            return new(context.Registration.FailureStatus, trouble.Message, trouble, Data(isOpen: false));
        }
    }

    private Dictionary<string, object> Data(bool isOpen) => new(StringComparer.Ordinal)
    {
        ["server"] = locks.Server,
        ["sessionOpen"] = isOpen,
        ["locksHeld"] = locks.CountHeld,
    };
}
