using System.Text;

namespace JobLocks.Postgres.WaitQueue;

/// <summary>The payloads of notifications about the wait queue: an entry number and the store.</summary>
internal static class Notifications
{
    /// <summary>The entry number in a notification that reports no run: the schedulers of other processes then query the store.</summary>
    public const long NoEntry = 0;

    private const int LongestPayload = 7999;

    /// <summary>PostgreSQL refuses a longer payload. A sweep finds a run that was not reported, and a run that stays in its worker is parked after a while.</summary>
    public static bool IsShortEnough(string payload) => Encoding.UTF8.GetByteCount(payload) <= LongestPayload;
}
