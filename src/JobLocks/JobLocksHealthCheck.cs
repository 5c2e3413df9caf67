using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace JobLocks;

/// <summary>Healthy where the server answers on the very session that holds the locks.</summary>
internal sealed class JobLocksHealthCheck(AdvisoryLocks locks) : IHealthCheck
{
    public async Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default)
    {
        try
        {
            await locks.ProveAsync(cancellationToken).ConfigureAwait(false);
            return HealthCheckResult.Healthy($"PostgreSQL at {locks.Server} keeps the locks.");
        }
        catch (Exception trouble) when (trouble is JobLocksUnavailableException or ObjectDisposedException)
        {
            return new(context.Registration.FailureStatus, trouble.Message, trouble);
        }
    }
}
