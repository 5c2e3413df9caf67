using Microsoft.Extensions.DependencyInjection;
using Quartz;
using Quartz.Extensibility;

namespace JobLocks.Quartz.Entering;

/// <summary>Has a container put a store before whichever job store was named for a scheduler.</summary>
internal static class JobStoreRegistration
{
    /// <summary>Replaces the store that is registered, or the one in memory where none is, by what <paramref name="decorate"/> makes of it.</summary>
    public static void Decorate(IQuartzBuilder quartz, Func<IJobStore, IServiceProvider, IJobStore> decorate)
    {
        var services = quartz.Services;
        // The default scheduler's parts have no key.
        object? key = quartz.SchedulerName.Length > 0 ? quartz.SchedulerName : null;
        if (IndexOf(services, key) < 0) quartz.UseInMemoryStore();

        var at = IndexOf(services, key);
        var named = services[at];
        services[at] = key is null
            ? ServiceDescriptor.Singleton<IJobStore>(provider => decorate(Make(named, provider, key: null), provider))
            : ServiceDescriptor.KeyedSingleton<IJobStore>(key, (provider, own) => decorate(Make(named, provider, own), provider));
    }

    private static int IndexOf(IServiceCollection services, object? key)
    {
        for (var i = services.Count - 1; i >= 0; i--)
        {
            if (services[i].ServiceType == typeof(IJobStore) && Equals(services[i].ServiceKey, key)) return i;
        }

        return -1;
    }

    private static IJobStore Make(ServiceDescriptor named, IServiceProvider provider, object? key)
    {
        if (named.IsKeyedService)
        {
            return (IJobStore)(named.KeyedImplementationInstance
                ?? named.KeyedImplementationFactory?.Invoke(provider, key)
                ?? ActivatorUtilities.CreateInstance(provider, named.KeyedImplementationType!));
        }

        return (IJobStore)(named.ImplementationInstance ?? named.ImplementationFactory?.Invoke(provider) ?? ActivatorUtilities.CreateInstance(provider, named.ImplementationType!));
    }
}
