using Hangfire.Common;
using Hangfire.Server;
using Hangfire.States;
using Hangfire.Storage;

namespace JobLocks.Hangfire.Tests.Support;

/// <summary>Filters of somebody else, one for each order: what each of them sees of a run. Put beside the filters of the servers of a test.</summary>
internal sealed class OtherFilters : IJobFilterProvider
{
    /// <summary>Before all others, with the default order before and after the attribute's, and after all others.</summary>
    public static readonly int[] Orders = [int.MinValue, -1, 0, 19, int.MaxValue];

    private readonly Journal<Sight> _journal = new();
    private readonly JobFilter[] _filters;

    public OtherFilters() => _filters = [.. Orders.Select(order => new JobFilter(new Filter(order, _journal), JobFilterScope.Global, order))];

    public IEnumerable<JobFilter> GetFilters(Job job) => _filters;

    /// <summary>All that the filter of this order saw of a job so far.</summary>
    public IReadOnlyList<string> SeenOf(string jobId, int order) =>
        [.. _journal.Entries.Where(sight => sight.Order == order && string.Equals(sight.JobId, jobId, StringComparison.Ordinal)).Select(static sight => sight.What)];

    /// <summary>Waits until the last filter has seen this.</summary>
    public Task NextAsync(string jobId, string what, CancellationToken stop, int nth = 1) =>
        _journal.NextAsync(
            sight => sight.Order == int.MaxValue && string.Equals(sight.JobId, jobId, StringComparison.Ordinal) && sight.What.StartsWith(what, StringComparison.Ordinal),
            stop,
            nth);

    private sealed record Sight(int Order, string JobId, string What);

    private sealed class Filter(int order, Journal<Sight> journal) : IServerFilter, IElectStateFilter, IApplyStateFilter, IServerExceptionFilter
    {
        public void OnPerforming(PerformingContext context) => See(context.BackgroundJob.Id, "performing");

        public void OnPerformed(PerformedContext context) =>
            See(context.BackgroundJob.Id, $"performed{(context.Canceled ? ", canceled" : "")}{(context.Exception is { } thrown ? $", {(thrown.InnerException ?? thrown).GetType().Name}" : "")}");

        public void OnStateElection(ElectStateContext context)
        {
            foreach (var traversed in context.TraversedStates) See(context.BackgroundJob.Id, $"traversed {traversed.Name}");
            See(context.BackgroundJob.Id, $"elects {context.CandidateState.Name}");
        }

        public void OnStateApplied(ApplyStateContext context, IWriteOnlyTransaction transaction) => See(context.BackgroundJob.Id, $"applied {context.NewState.Name}");

        public void OnStateUnapplied(ApplyStateContext context, IWriteOnlyTransaction transaction)
        {
            // The state that follows is seen.
        }

        public void OnServerException(ServerExceptionContext context) => See(context.BackgroundJob.Id, $"exception {(context.Exception.InnerException ?? context.Exception).GetType().Name}");

        private void See(string jobId, string what) => journal.Add(new(order, jobId, what));
    }
}
