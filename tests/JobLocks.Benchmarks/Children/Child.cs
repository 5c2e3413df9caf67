using System.Globalization;
using JobLocks.Benchmarks.Peers;

namespace JobLocks.Benchmarks.Children;

/// <summary>What the other process does: one order on each line that it reads, an answer on each line that it writes.</summary>
internal sealed class Child(Bench bench, bool isOurs)
{
    public const string Verb = "child";

    /// <summary>Environment variable with the connection string: a command line would show its password.</summary>
    public const string ConnectionVariable = "JOBLOCKS_BENCHMARKS_CONNECTION";

    /// <summary>The argument for locks of JobLocks.</summary>
    public const string Ours = "ours";

    /// <summary>The argument for locks of DistributedLock.</summary>
    public const string Theirs = "theirs";

    public const string Waiting = "waiting";
    public const string Done = "done";

    /// <summary>The lock that waiter number i of a crowd wants.</summary>
    public static string CrowdLock(int i) => $"benchmark-crowd-{i}";

    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    /// <summary>The application name of its connections.</summary>
    public static string Application(bool isOurs) => isOurs ? Bench.ApplicationOfOurs(Verb) : Bench.ApplicationOfTheirs(Verb, isDedicated: false);

    public async Task<int> RunAsync(CancellationToken stop)
    {
        await using var peer = isOurs ? bench.Ours(Verb) : bench.Theirs(Verb, isDedicated: false);

        // The parent holds the other end: it closes it to end us, and the system does when the parent is killed.
        while (await Console.In.ReadLineAsync(stop) is { } order)
        {
            var words = order.Split(' ');
            Console.WriteLine(words[0] switch
            {
                nameof(WaitAsync) => await WaitAsync(peer.Lock(words[1]), stop),
                nameof(CrowdAsync) => await CrowdAsync(peer, Number(words[1]), stop),
                nameof(HeldLocks) => await HeldLocks.MeasureAsync(peer, Number(words[1]), stop),
                _ => throw new InvalidOperationException($"Nobody should order \"{order}\"."),
            });
        }

        return 0;
    }

    /// <summary>Waits for one lock.</summary>
    /// <returns>When it was ours, on a clock that all processes of the machine share.</returns>
    internal static async Task<string> WaitAsync(IPeerLock one, CancellationToken stop)
    {
        Console.WriteLine(Waiting);
        await using var handle = await one.TakeAsync(Patience, stop);
        return Clock.Now.ToString(CultureInfo.InvariantCulture);
    }

    /// <summary>Waits for many locks at once, until each has been ours for a moment.</summary>
    internal static async Task<string> CrowdAsync(ILockPeer peer, int waiters, CancellationToken stop)
    {
        var all = Task.WhenAll(Enumerable.Range(0, waiters).Select(i => WaitAndReleaseAsync(peer.Lock(CrowdLock(i)), stop)));
        Console.WriteLine(Waiting);
        await all;
        return Done;
    }

    private static async Task WaitAndReleaseAsync(IPeerLock one, CancellationToken stop)
    {
        await using var handle = await one.TakeAsync(Patience, stop);
    }

    private static int Number(string word) => int.Parse(word, CultureInfo.InvariantCulture);
}
