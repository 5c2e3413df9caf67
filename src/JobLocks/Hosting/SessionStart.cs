using Microsoft.Extensions.Hosting;

namespace JobLocks.Hosting;

/// <summary>
/// Opens the session when the host starts. A wrong setting stops the host, because every run would be refused. A server that cannot be reached
/// does not stop it: the runs are rescheduled, and the session opens when the server can be reached.
/// </summary>
internal sealed class SessionStart(AdvisoryLocks locks) : IHostedService
{
    public async Task StartAsync(CancellationToken cancellationToken)
    {
        try
        {
            await locks.EnsureSessionAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (JobLocksUnavailableException unavailable) when (!unavailable.NeedsChange)
        {
            // The supervisor of the sessions has logged the error, and tries again.
        }
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
}
