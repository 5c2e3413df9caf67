using JobLocks;
using JobLocks.Hosting;
using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Reports the health of the locks.</summary>
public static class JobLocksHealthChecksBuilderExtensions
{
    /// <summary>Adds a check named <c>joblocks</c>: healthy where the server answers on the session that holds the locks of this process,
    /// degraded where it does, but runs cannot stand in line or nobody sees who holds what. Its data: server, session, locks held.</summary>
    /// <param name="builder">From <c>services.AddHealthChecks()</c>; the container also needs <c>AddJobLocks</c>.</param>
    /// <param name="failureStatus">What to report otherwise; null for unhealthy.</param>
    /// <param name="tags">Tags to filter checks by; null for none.</param>
    /// <returns><paramref name="builder"/>.</returns>
    public static IHealthChecksBuilder AddJobLocks(this IHealthChecksBuilder builder, HealthStatus? failureStatus = null, IEnumerable<string>? tags = null)
    {
        ArgumentNullException.ThrowIfNull(builder);

        return builder.Add(new("joblocks", static services => new JobLocksHealthCheck(services.GetRequiredService<AdvisoryLocks>()), failureStatus, tags));
    }
}
