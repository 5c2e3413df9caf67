using Hangfire.Common;
using Hangfire.States;
using Hangfire.Storage;

namespace JobLocks.Hangfire.Tests.Support;

/// <summary>Each state that Hangfire applies to a job, in its order. Put beside the other filters of all servers and clients of a test.</summary>
internal sealed class AnnouncedStates : IJobFilterProvider, IApplyStateFilter
{
    private readonly Journal<Announcement> _journal = new();

    public IEnumerable<JobFilter> GetFilters(Job job) => [new(this, JobFilterScope.Global, int.MaxValue)];

    public void OnStateApplied(ApplyStateContext context, IWriteOnlyTransaction transaction) =>
        _journal.Add(new(context.BackgroundJob.Id, context.BackgroundJob.Job, context.NewState));

    public void OnStateUnapplied(ApplyStateContext context, IWriteOnlyTransaction transaction)
    {
        // The state that follows is announced.
    }

    /// <summary>The names of all states of a job so far.</summary>
    public IReadOnlyList<string> NamesOf(string jobId) =>
        [.. _journal.Entries.Where(announced => announced.IsOf(jobId)).Select(static announced => announced.State.Name)];

    public IReadOnlyList<IState> Of(string jobId) =>
        [.. _journal.Entries.Where(announced => announced.IsOf(jobId)).Select(static announced => announced.State)];

    /// <summary>Waits for a state of a job.</summary>
    public async Task<TState> NextAsync<TState>(string jobId, CancellationToken stop, int nth = 1)
        where TState : IState =>
        (TState)(await _journal.NextAsync(announced => announced.IsOf(jobId) && announced.State is TState, stop, nth)).State;

    /// <summary>Waits for a state of whatever job has this stage.</summary>
    public Task<Announcement> NextAsync<TState>(Stage stage, CancellationToken stop, int nth = 1)
        where TState : IState =>
        _journal.NextAsync(announced => announced.State is TState && announced.Job.Args.Contains(stage.Id), stop, nth);

    /// <param name="JobId">Hangfire's id of the job.</param>
    /// <param name="Job">What is called.</param>
    /// <param name="State">The state it is in from now on.</param>
    internal sealed record Announcement(string JobId, Job Job, IState State)
    {
        public bool IsOf(string jobId) => string.Equals(JobId, jobId, StringComparison.Ordinal);

        public override string ToString() => $"{JobId}: {State.Name}, {State.Reason}";
    }
}
