using JobLocks.Diagnostics;
using JobLocks.Primitives;
using Microsoft.Extensions.Logging;

namespace JobLocks.InMemory.Reading;

/// <summary>Requests the release of locks. Thread-safe.</summary>
internal sealed class MemoryReleaseRequests(MemoryDispatcher dispatcher, TimeProvider clock, ILogger log)
{
    private static readonly TimeSpan DefaultTimeout = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan LongestTimeout = TimeSpan.FromMilliseconds(int.MaxValue);

    /// <summary>Requests the release of a lock, and waits until the present holders have released it.</summary>
    /// <param name="key">The key of the lock.</param>
    /// <param name="nameKey">The key of its name, where locks of other names are left alone; null for any name.</param>
    /// <param name="by">The user who requests it.</param>
    /// <param name="atMost">The longest wait; null for ten seconds.</param>
    /// <param name="stop">Cancels the wait.</param>
    public async Task<ReleaseAnswer> RequestAsync(LockKey key, LockKey? nameKey, string by, TimeSpan? atMost, CancellationToken stop)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(by);

        by = DisplayText.Name(by);
        var answer = await AskHoldersAsync(key, nameKey, by, atMost ?? DefaultTimeout, stop).ConfigureAwait(false);
        log.ReleaseAnswered(key.Value, by, answer.ToString());
        return answer;
    }

    private async Task<ReleaseAnswer> AskHoldersAsync(LockKey key, LockKey? nameKey, string by, TimeSpan atMost, CancellationToken stop)
    {
        if (dispatcher.WaitForRelease(() => dispatcher.Locks.Find(key) is { IsHeld: true } entry ? [.. entry.Grants] : []) is not { } wait) return ReleaseAnswer.WasFree;

        log.ReleaseAsked(by, key.Value);
        foreach (var grant in wait.Holders.Where(grant => grant.NameKey == (nameKey ?? grant.NameKey) && !grant.IsKnownLost))
        {
            log.ReleaseReceived(grant.ToString(), grant.Key.Value, DisplayText.Name(grant.Holder.Run ?? "unknown code"), by);
            grant.DeclareReleaseRequested(by);
        }

        try
        {
            await wait.Done.WaitAsync(Within(atMost), clock, stop).ConfigureAwait(false);
            return ReleaseAnswer.Released;
        }
        catch (TimeoutException)
        {
            return ReleaseAnswer.StillHeld;
        }
        finally
        {
            dispatcher.Forget(wait);
        }
    }

    private static TimeSpan Within(TimeSpan atMost) => atMost < TimeSpan.Zero ? TimeSpan.Zero : atMost > LongestTimeout ? LongestTimeout : atMost;
}
