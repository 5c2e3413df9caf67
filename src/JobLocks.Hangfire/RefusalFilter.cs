using Hangfire.Common;
using Hangfire.Server;
using Hangfire.States;
using Microsoft.Extensions.Logging;

namespace JobLocks.Hangfire;

/// <summary>
/// Surrounds all other filters of a run, and carries out a refusal when they are through. They see a canceled run, as when any filter puts one
/// off; the transactions that they opened are over; and Hangfire elects no end for a run that is to come later. Thread-safe.
/// </summary>
/// <remarks>Not an attribute: those cannot come before every other filter.</remarks>
internal sealed class RefusalFilter : IJobFilter, IJobFilterProvider, IServerFilter, IElectStateFilter
{
    private const string ItemKey = "JobLocks.Surrounded";

    private static readonly RefusalFilter Instance = new();

    // Before the global filters of the same order.
    private readonly JobFilter[] _filters;

    private RefusalFilter() => _filters = [new(this, (JobFilterScope)int.MinValue, Order)];

    public int Order => int.MinValue;

    /// <summary>False: however many collections of providers it is found in, it surrounds a run once.</summary>
    public bool AllowMultiple => false;

    /// <summary>Adds it to the filters of this process.</summary>
    public static void Use()
    {
        lock (Instance)
        {
            if (!JobFilterProviders.Providers.Contains(Instance)) JobFilterProviders.Providers.Add(Instance);
        }
    }

    /// <summary>Whether it surrounds this run; it does not where a server was given other filter providers than Hangfire's own.</summary>
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

        if (refused.IsPutOff) PutOff(context, refused);
        // Only now, and not in OnPerforming: another filter could take the exception for handled, and the run would count as succeeded.
        else if (refused.NextState is FailedState failed && IsStillRefused(context)) throw failed.Exception;
    }

    public void OnStateElection(ElectStateContext context)
    {
        // Whatever job this is, the storage has a server or a client here.
        ConfiguredGates.Of(context.Storage);
        RefusedRun.Elect(context);
        LostRun.Tell(context);
    }

    private static bool IsStillRefused(PerformedContext context) => context.Exception is null || context.ExceptionHandled;

    private static void PutOff(PerformedContext context, RefusedRun refused)
    {
        // An exception of another filter is about a run that has not happened yet: it must not end it.
        if (!IsStillRefused(context)) refused.Gate.Loggers.CreateLogger<JobLockAttribute>().FilterThrew(context.BackgroundJob.Id, context.Exception!);
        // Hangfire's way to say that the state of the job has been changed already.
        if (ParkedRun.TryPark(context, refused)) throw new JobAbortedException();

        // The worker elects Deleted for a canceled run, which OnStateElection turns into the state that could not be stored here.
        context.ExceptionHandled = true;
    }
}
