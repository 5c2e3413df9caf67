using JobLocks.Quartz.Tests.Support;
using Quartz;

namespace JobLocks.Quartz.Tests.Mechanisms;

/// <summary>A listener under another name: of two with one name, Quartz keeps the later one.</summary>
internal static class Renamed
{
    public static ITriggerListener Trigger(ITriggerListener listener, string name) => Of(listener, name);

    public static IJobListener Job(IJobListener listener, string name) => Of(listener, name);

    private static T Of<T>(T listener, string name)
        where T : class => Proxy.Before(listener, (member, ask) => member is "get_Name" ? name : ask());
}
