using JobLocks;
using JobLocks.Hosting;
using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Adds the health check of the locks.</summary>
public static class JobLocksHealthChecksBuilderExtensions
{
    /// <summary>
    /// Adds a check named <c>joblocks</c>. It is healthy where the server answers on the session that holds the locks of this process, and degraded
    /// where the server answers but a part of JobLocks does not work, such as the wait queue. Its data: the server, whether the session is open,
    /// the number of held locks.
    /// </summary>
    /// <param name="builder">From <c>services.AddHealthChecks()</c>; the container also needs <c>AddJobLocks</c>.</param>
    /// <param name="failureStatus">The status where the server does not answer; null for unhealthy.</param>
    /// <param name="tags">Tags of the check; null for none.</param>
    /// <returns><paramref name="builder"/>.</returns>
    public static IHealthChecksBuilder AddJobLocks(this IHealthChecksBuilder builder, HealthStatus? failureStatus = null, IEnumerable<string>? tags = null)
    {
        ArgumentNullException.ThrowIfNull(builder);

        return builder.Add(new("joblocks", static services => new JobLocksHealthCheck(services.GetRequiredService<AdvisoryLocks>()), failureStatus, tags));
    }
}
