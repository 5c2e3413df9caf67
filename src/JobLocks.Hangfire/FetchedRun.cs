using System.Runtime.CompilerServices;
using Hangfire;
using Hangfire.Server;
using Hangfire.States;
using Hangfire.Storage;

namespace JobLocks.Hangfire;

/// <summary>
/// What a worker announced about a run: its server and worker ids, which distinguish several runs of one job, and the state machine that changes its state.
/// </summary>
/// <param name="ServerId">The id of the server.</param>
/// <param name="WorkerId">The id of the worker, which performs one run at a time.</param>
/// <param name="WasScheduled">Whether the previous state of the job was Scheduled. Only then can the run have been parked.</param>
/// <param name="States">The state machine of the server, which calls the server's own filters.</param>
internal sealed record FetchedRun(string ServerId, string WorkerId, bool WasScheduled, StateMachine States)
{
    // A worker announces and performs the same BackgroundJob object. Without this link, the storage would have to be asked.
    private static readonly ConditionalWeakTable<BackgroundJob, FetchedRun> Runs = [];

    /// <summary>Keeps what a worker announces about the run that it is about to perform.</summary>
    public static void Remember(ElectStateContext context)
    {
        if (context is { CandidateState: ProcessingState { ServerId: { } server, WorkerId: { } worker }, StateMachine: { } states })
            Runs.AddOrUpdate(context.BackgroundJob, new(server, worker, AreEqual(context.CurrentState, ScheduledState.StateName), states));
    }

    /// <summary>The announced run; null if the application replaced Hangfire's state machine, and the announcement was not seen.</summary>
    public static FetchedRun? Of(PerformContext context) => Runs.TryGetValue(context.BackgroundJob, out var run) ? run : null;

    /// <summary>
    /// Whether the job is still in Processing for this server and worker, by a state that was read from the storage. Hangfire makes the same comparison to
    /// decide whether it cancels the token of a run.
    /// </summary>
    public bool IsStillProcessing(StateData? state) =>
        state is not null && AreEqual(state.Name, ProcessingState.StateName) && Has(state, nameof(ServerId), ServerId) && Has(state, nameof(WorkerId), WorkerId);

    private static bool Has(StateData state, string name, string value) => state.Data.TryGetValue(name, out var stored) && AreEqual(stored, value);

    private static bool AreEqual(string? left, string right) => string.Equals(left, right, StringComparison.OrdinalIgnoreCase);
}
