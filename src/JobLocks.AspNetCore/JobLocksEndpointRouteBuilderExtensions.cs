using JobLocks;
using JobLocks.AspNetCore;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Microsoft.AspNetCore.Builder;

/// <summary>Shows the locks in an application.</summary>
public static class JobLocksEndpointRouteBuilderExtensions
{
    /// <summary>
    /// Adds the page and the JSON behind it: which locks are held and by whom, which runs wait and why.
    /// </summary>
    /// <remarks>
    /// Where nothing is said about authorisation, nothing is answered: say <c>.RequireAuthorization()</c>, or <c>.AllowAnonymous()</c>. Only in the
    /// Development environment, requests of the same machine are answered without it. Asking a holder to let go needs
    /// <c>builder.Services.AddAntiforgery()</c>; without it, the page only shows.
    /// </remarks>
    /// <param name="endpoints">The application.</param>
    /// <param name="pattern">Where the page is.</param>
    /// <param name="configure">Changes the options.</param>
    /// <returns>Takes conventions for all of it, such as <c>RequireAuthorization</c>.</returns>
    /// <exception cref="InvalidOperationException">The container has no locks: call <c>AddJobLocks</c> first.</exception>
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
        var unsaid = new LocalOnly(
            endpoints.ServiceProvider.GetService<IHostEnvironment>()?.IsDevelopment() == true,
            endpoints.ServiceProvider.GetService<ILoggerFactory>()?.CreateLogger("JobLocks.AspNetCore") ?? NullLogger.Instance);
        Answering.Surround(group, unsaid);
        var page = new PageEndpoints(options);
        page.Map(group);
        new JsonEndpoints(page.LooksOf).Map(group.MapGroup("/api/v1"));
        // At the root, all other paths are the application's own.
        if (pattern.Trim('/').Length > 0) group.Map("/{**other}", Answering.NotFound).WithOrder(int.MaxValue).ExcludeFromDescription();
        return group;
    }
}
