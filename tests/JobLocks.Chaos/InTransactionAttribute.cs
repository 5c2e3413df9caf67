using System.Transactions;
using Hangfire.Common;
using Hangfire.Server;

namespace JobLocks.Chaos;

/// <summary>Opens an ambient transaction around each run, and completes it unless the run threw. On the class, so it surrounds the lock.</summary>
[AttributeUsage(AttributeTargets.Class)]
internal sealed class InTransactionAttribute : JobFilterAttribute, IServerFilter
{
    private const string Item = "chaos-transaction";

    public void OnPerforming(PerformingContext context) => context.Items[Item] = new TransactionScope(TransactionScopeAsyncFlowOption.Enabled);

    public void OnPerformed(PerformedContext context)
    {
        if (!context.Items.Remove(Item, out var item)) return;

        using var transaction = (TransactionScope)item;
        if (context.Exception is null) transaction.Complete();
    }
}
