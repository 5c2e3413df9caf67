using System.Transactions;

namespace JobLocks.Hangfire;

/// <summary>
/// The <see cref="TransactionScope"/> that another filter may have opened around a run. A storage enlists in it, so a state written inside
/// would be rolled back with the filter's own work: everything that this package writes is written outside of it.
/// </summary>
internal static class AmbientTransaction
{
    /// <summary>Leaves it until the result is disposed, on the same thread; null where there is none.</summary>
    public static TransactionScope? Leave() => IsPresent() ? new(TransactionScopeOption.Suppress, TransactionScopeAsyncFlowOption.Enabled) : null;

    private static bool IsPresent()
    {
        try
        {
            return Transaction.Current is not null;
        }
        catch (InvalidOperationException)
        {
            // A scope that was completed and is not disposed yet: nothing can be written inside of it at all.
            return true;
        }
    }
}
