namespace JobLocks.Tests.Support;

/// <summary>What another process does whose thread pool is taken up by its jobs: threads of its own take locks without the pool.</summary>
internal static class BlockedPool
{
    /// <summary>The argument with which the other process blocks its pool.</summary>
    public const string Argument = "blocked-pool";

    /// <summary>Said before it waits for the lock that the test holds.</summary>
    public const string Waits = "waits";

    /// <summary>Said when it got that lock.</summary>
    public const string Got = "got";

    private const int PoolThreads = 4;
    private const int Threads = 4;
    private const int Rounds = 50;

    private static readonly TimeSpan LongestOpening = TimeSpan.FromSeconds(45);
    private static readonly TimeSpan BetweenOpenings = TimeSpan.FromMilliseconds(100);

    /// <summary>Needs no thread of the pool, and so awaits nothing.</summary>
    public static int Run(string connectionString, string name)
    {
        ThreadPool.SetMinThreads(PoolThreads, PoolThreads);
        ThreadPool.SetMaxThreads(PoolThreads, PoolThreads);
        using var blocked = new CountdownEvent(PoolThreads);
        using var over = new ManualResetEventSlim();
        for (var i = 0; i < PoolThreads; i++)
        {
            ThreadPool.UnsafeQueueUserWorkItem(
                _ =>
                {
                    blocked.Signal();
                    over.Wait();
                },
                null);
        }

        blocked.Wait();

        // However slow this machine is: what is missing here is the pool, and not time.
        var locks = AdvisoryLocks.Connect(connectionString, static options => options.OpeningSilenceTimeout = TimeSpan.FromMinutes(1));
        Open(locks, name, over);
        var entered = 0;
        var threads = Enumerable.Range(0, Threads).Select(_ => new Thread(() => TakeTurns(locks, $"turns({name})", ref entered))).ToList();
        foreach (var thread in threads) thread.Start();
        foreach (var thread in threads) thread.Join();
        Console.WriteLine(entered);

        Console.WriteLine(Waits);
        using (locks.Acquire(name, Timeout.InfiniteTimeSpan)) Console.WriteLine(Got);

        over.Set();
        locks.Dispose();
        return 0;
    }

    /// <summary>
    /// .NET leaves a socket's event to the pool where no thread waits for it yet, even if one does a moment later. On a busy machine, an opening connection can meet
    /// that and time out; another one is opened then.
    /// </summary>
    private static void Open(AdvisoryLocks locks, string name, ManualResetEventSlim over)
    {
        var begun = TimeProvider.System.GetTimestamp();
        while (true)
        {
            try
            {
                locks.Acquire($"open({name})", Timeout.InfiniteTimeSpan).Dispose();
                return;
            }
            catch (JobLocksUnavailableException) when (TimeProvider.System.GetElapsedTime(begun) < LongestOpening)
            {
                // Until another one is opened, all are refused at once.
                over.Wait(BetweenOpenings);
            }
        }
    }

    private static void TakeTurns(AdvisoryLocks locks, string name, ref int entered)
    {
        for (var round = 0; round < Rounds; round++)
        {
            // Not counted atomically: the lock is what keeps the count.
            using (locks.Acquire(name, Timeout.InfiniteTimeSpan)) entered++;
            using var tried = locks.TryAcquire(name);
            using var read = tried is null ? locks.TryAcquire($"read({name})", LockMode.Shared) : null;
            using var all = locks.TryAcquireAll([$"a({name})", $"b({name})"]);
        }
    }
}
