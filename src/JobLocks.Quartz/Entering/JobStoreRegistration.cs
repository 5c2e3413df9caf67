using Microsoft.Extensions.DependencyInjection;
using Quartz;
using Quartz.Extensibility;

namespace JobLocks.Quartz.Entering;

/// <summary>Decorates the job store of a scheduler in a container, whichever store was registered.</summary>
internal static class JobStoreRegistration
{
    /// <summary>Replaces the registered store by the result of <paramref name="decorate"/>. Registers the store in memory first if there is none.</summary>
    public static void Decorate(IQuartzBuilder quartz, Func<IJobStore, IServiceProvider, IJobStore> decorate)
    {
        var services = quartz.Services;
        // The services of the default scheduler have no key.
        object? key = quartz.SchedulerName.Length > 0 ? quartz.SchedulerName : null;
        if (IndexOf(services, key) < 0) quartz.UseInMemoryStore();

        var index = IndexOf(services, key);
        var registered = services[index];
        services[index] = key is null
            ? ServiceDescriptor.Singleton<IJobStore>(provider => decorate(Create(registered, provider, key: null), provider))
            : ServiceDescriptor.KeyedSingleton<IJobStore>(key, (provider, serviceKey) => decorate(Create(registered, provider, serviceKey), provider));
    }

    private static int IndexOf(IServiceCollection services, object? key)
    {
        for (var i = services.Count - 1; i >= 0; i--)
        {
            if (services[i].ServiceType == typeof(IJobStore) && Equals(services[i].ServiceKey, key)) return i;
        }

        return -1;
    }

    private static IJobStore Create(ServiceDescriptor registered, IServiceProvider provider, object? key)
    {
        if (registered.IsKeyedService)
        {
            return (IJobStore)(registered.KeyedImplementationInstance
                ?? registered.KeyedImplementationFactory?.Invoke(provider, key)
                ?? ActivatorUtilities.CreateInstance(provider, registered.KeyedImplementationType!));
        }

        return (IJobStore)(registered.ImplementationInstance ?? registered.ImplementationFactory?.Invoke(provider) ?? ActivatorUtilities.CreateInstance(provider, registered.ImplementationType!));
    }
}
