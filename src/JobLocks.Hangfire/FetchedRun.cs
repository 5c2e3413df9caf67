using System.Runtime.CompilerServices;
using Hangfire;
using Hangfire.Server;
using Hangfire.States;
using Hangfire.Storage;

namespace JobLocks.Hangfire;

/// <summary>A run as its worker announced it: which one it is among those of the same job, and with which filters its state is changed.</summary>
/// <param name="ServerId">The server.</param>
/// <param name="WorkerId">The worker, which performs nothing else meanwhile.</param>
/// <param name="WasScheduled">Whether it came from the state Scheduled: it may have been parked there.</param>
/// <param name="States">Asks the filters of this server, which may have some of its own.</param>
internal sealed record FetchedRun(string ServerId, string WorkerId, bool WasScheduled, StateMachine States)
{
    // A worker performs the very object that it announced. Nothing else leads from one to the other without asking the storage.
    private static readonly ConditionalWeakTable<BackgroundJob, FetchedRun> Runs = [];

    /// <summary>Keeps what a worker announces of the run that it is about to perform.</summary>
    public static void Remember(ElectStateContext context)
    {
        if (context is { CandidateState: ProcessingState { ServerId: { } server, WorkerId: { } worker }, StateMachine: { } states })
            Runs.AddOrUpdate(context.BackgroundJob, new(server, worker, AreEqual(context.CurrentState, ScheduledState.StateName), states));
    }

    /// <summary>The run that is performed; null where the application has its own way to change states, which hides it.</summary>
    public static FetchedRun? Of(PerformContext context) => Runs.TryGetValue(context.BackgroundJob, out var run) ? run : null;

    /// <summary>Whether the storage still says that this worker has the job. The same question tells Hangfire whether to cancel the token of a run.</summary>
    public bool IsIn(StateData? state) =>
        state is not null && AreEqual(state.Name, ProcessingState.StateName) && Has(state, nameof(ServerId), ServerId) && Has(state, nameof(WorkerId), WorkerId);

    private static bool Has(StateData state, string name, string value) => state.Data.TryGetValue(name, out var stored) && AreEqual(stored, value);

    private static bool AreEqual(string? one, string other) => string.Equals(one, other, StringComparison.OrdinalIgnoreCase);
}
