using Microsoft.Extensions.Hosting;

namespace JobLocks.Hosting;

/// <summary>
/// Opens the session when the host starts. A mistake in the settings stops the host: it would refuse every run. A server that is merely
/// not there does not: the runs are kept, and the session opens when the server comes.
/// </summary>
internal sealed class SessionStart(AdvisoryLocks locks) : IHostedService
{
    public async Task StartAsync(CancellationToken cancellationToken)
    {
        try
        {
            await locks.ProveAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (JobLocksUnavailableException notYet) when (!notYet.NeedsChange)
        {
            // It was logged where it happened, and is tried again.
        }
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
}
