using JobLocks;
using JobLocks.AspNetCore;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Microsoft.AspNetCore.Builder;

/// <summary>Maps the page of the locks in an application.</summary>
public static class JobLocksEndpointRouteBuilderExtensions
{
    /// <summary>
    /// Maps the page and its JSON endpoints. They show the held locks, their holders, the waiting runs, and why each run waits.
    /// </summary>
    /// <remarks>
    /// <para>
    /// Without an authorization policy, all requests are refused: call <c>.RequireAuthorization()</c> or <c>.AllowAnonymous()</c> on the result. Only in the
    /// Development environment, requests from the same machine are answered without a policy.
    /// </para>
    /// <para>Requests to release a lock require <c>builder.Services.AddAntiforgery()</c>. Without it, the page is read-only.</para>
    /// </remarks>
    /// <param name="endpoints">The application.</param>
    /// <param name="pattern">The path of the page.</param>
    /// <param name="configure">Sets the options; null for the defaults.</param>
    /// <returns>A builder for conventions of all endpoints, such as <c>RequireAuthorization</c>.</returns>
    /// <exception cref="InvalidOperationException">The container has no locks. Call <c>AddJobLocks</c> first.</exception>
    /// <example><code>app.MapJobLocks("/joblocks").RequireAuthorization();</code></example>
    public static IEndpointConventionBuilder MapJobLocks(this IEndpointRouteBuilder endpoints, string pattern = "/joblocks", Action<JobLocksPageOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(endpoints);
        ArgumentException.ThrowIfNullOrEmpty(pattern);
        if (endpoints.ServiceProvider.GetService<IServiceProviderIsService>()?.IsService(typeof(IJobLockInspector)) == false)
            throw new InvalidOperationException($"{nameof(MapJobLocks)} shows the locks of the container, and it has none. Call builder.Services.AddJobLocks(connectionString).");

        var options = new JobLocksPageOptions();
        configure?.Invoke(options);
        var group = endpoints.MapGroup(pattern.TrimEnd('/'));
        var localOnly = new LocalOnly(
            endpoints.ServiceProvider.GetService<IHostEnvironment>()?.IsDevelopment() == true,
            endpoints.ServiceProvider.GetService<ILoggerFactory>()?.CreateLogger("JobLocks.AspNetCore") ?? NullLogger.Instance);
        Answering.Surround(group, localOnly);
        var page = new PageEndpoints(options);
        page.Map(group);
        new JsonEndpoints(page.ReadingsOf).Map(group.MapGroup("/api/v1"));
        // With the pattern "/", all other paths belong to the application.
        if (pattern.Trim('/').Length > 0) group.Map("/{**other}", Answering.NotFound).WithOrder(int.MaxValue).ExcludeFromDescription();
        return group;
    }
}
