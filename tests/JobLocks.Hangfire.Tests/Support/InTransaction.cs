using System.Transactions;
using Hangfire.Common;
using Hangfire.Server;

namespace JobLocks.Hangfire.Tests.Support;

/// <summary>
/// A filter of somebody else that runs each job in a transaction, and completes it unless the job threw. Which one, the job's second argument
/// says: <c>order/option/flow</c>.
/// </summary>
internal sealed class InTransaction : IJobFilterProvider
{
    public IEnumerable<JobFilter> GetFilters(Job job) =>
        job.Type == typeof(TransactedJob) ? [new(new Filter(Specification.Parse((string)job.Args[1])), JobFilterScope.Global, Specification.Parse((string)job.Args[1]).Order)] : [];

    internal sealed record Specification(int Order, TransactionScopeOption Option, TransactionScopeAsyncFlowOption Flow, bool CompletesCanceled)
    {
        public static Specification Parse(string text) => text.Split('/') is [var order, var option, var flow, var completes]
            ? new(int.Parse(order, System.Globalization.CultureInfo.InvariantCulture), Enum.Parse<TransactionScopeOption>(option), Enum.Parse<TransactionScopeAsyncFlowOption>(flow), bool.Parse(completes))
            : throw new FormatException(text);

        public override string ToString() => string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{Order}/{Option}/{Flow}/{CompletesCanceled}");
    }

    private sealed class Filter(Specification specification) : IServerFilter
    {
        public void OnPerforming(PerformingContext context) =>
            context.Items[nameof(InTransaction)] = new TransactionScope(
                specification.Option, new TransactionOptions { IsolationLevel = IsolationLevel.ReadCommitted, Timeout = TimeSpan.FromMinutes(1) }, specification.Flow);

        public void OnPerformed(PerformedContext context)
        {
            var scope = (TransactionScope)context.Items[nameof(InTransaction)];
            if (context.Exception is null && (specification.CompletesCanceled || !context.Canceled)) scope.Complete();
            scope.Dispose();
        }
    }
}
