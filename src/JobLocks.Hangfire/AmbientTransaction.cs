using System.Transactions;

namespace JobLocks.Hangfire;

/// <summary>
/// The <see cref="TransactionScope"/> that another filter may have opened around a run. A storage enlists in the scope, and a state that is written inside it
/// is rolled back with the work of that filter. So this package writes everything outside of the scope.
/// </summary>
internal static class AmbientTransaction
{
    /// <summary>Suppresses the scope. Dispose the result on the same thread to end that. Null if there is no scope.</summary>
    public static TransactionScope? Suppress() => IsPresent() ? new(TransactionScopeOption.Suppress, TransactionScopeAsyncFlowOption.Enabled) : null;

    private static bool IsPresent()
    {
        try
        {
            return Transaction.Current is not null;
        }
        catch (InvalidOperationException)
        {
            // The scope is completed but not disposed yet. Nothing can be written inside it.
            return true;
        }
    }
}
