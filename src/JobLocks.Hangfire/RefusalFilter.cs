using Hangfire.Common;
using Hangfire.Server;
using Hangfire.States;
using Microsoft.Extensions.Logging;

namespace JobLocks.Hangfire;

/// <summary>
/// Surrounds all other filters of a run, and carries out a refusal after all of them have returned. The other filters see a canceled run, as if any filter had
/// cancelled it. The transactions that they opened are over by then, and Hangfire elects no final state for a run that starts later. Thread-safe.
/// </summary>
/// <remarks>This is not an attribute, because an attribute cannot precede every other filter.</remarks>
internal sealed class RefusalFilter : IJobFilter, IJobFilterProvider, IServerFilter, IElectStateFilter
{
    private const string ItemKey = "JobLocks.Surrounded";

    private static readonly RefusalFilter Instance = new();

    // The lowest possible scope sorts before global filters of the same order.
    private readonly JobFilter[] _filters;

    private RefusalFilter() => _filters = [new(this, (JobFilterScope)int.MinValue, Order)];

    public int Order => int.MinValue;

    /// <summary>False: even if several collections of providers return the filter, it surrounds a run once.</summary>
    public bool AllowMultiple => false;

    /// <summary>Adds the filter to the filters of this process. Does nothing if it is already among them.</summary>
    public static void Use()
    {
        lock (Instance)
        {
            if (!JobFilterProviders.Providers.Contains(Instance)) JobFilterProviders.Providers.Add(Instance);
        }
    }

    /// <summary>Whether the filter surrounds this run. It does not if the server has other filter providers than Hangfire's own.</summary>
    public static bool Surrounds(PerformContext context) => context.Items.ContainsKey(ItemKey);

    public IEnumerable<JobFilter> GetFilters(Job job) => _filters;

    public void OnPerforming(PerformingContext context)
    {
        context.Items[ItemKey] = this;
        HangfireRuns.Of(context.Storage).Servers.Begin(context);
    }

    public void OnPerformed(PerformedContext context)
    {
        HangfireRuns.Of(context.Storage).Servers.End(context);
        if (RefusedRun.Of(context) is not { } refused) return;

        if (refused.StartsLater) Reschedule(context, refused);
        // Thrown here and not in OnPerforming: there another filter could mark the exception as handled, and the run would count as succeeded.
        else if (refused.NextState is FailedState failed && HasNoUnhandledException(context)) throw failed.Exception;
    }

    public void OnStateElection(ElectStateContext context)
    {
        // Any job, even one without [JobLock], shows that this process has a server or a client of the storage: its gate is assigned now.
        ConfiguredGates.GetOrAssign(context.Storage);
        RefusedRun.Elect(context);
        LostRun.AddReason(context);
    }

    private static bool HasNoUnhandledException(PerformedContext context) => context.Exception is null || context.ExceptionHandled;

    private static void Reschedule(PerformedContext context, RefusedRun refused)
    {
        // The run has not begun yet, so an exception of another filter must not end it.
        if (!HasNoUnhandledException(context)) refused.Gate.Loggers.CreateLogger<JobLockAttribute>().FilterThrew(context.BackgroundJob.Id, context.Exception!);
        // With this exception Hangfire does not change the state of the job; it has been changed already.
        if (ParkedRun.TryPark(context, refused)) throw new JobAbortedException();

        // The worker elects Deleted for a canceled run. OnStateElection replaces it with the state that could not be stored here.
        context.ExceptionHandled = true;
    }
}
