using System.Collections.Concurrent;
using System.Diagnostics;
using JobLocks.Testing.Postgres;
using JobLocks.Tests.Support;
using IdleSocket = JobLocks.Postgres.Session.IdleSocket;

namespace JobLocks.Tests.Faults;

/// <summary>Sessions that the server ends, when nobody expects it. Has a server of its own to break.</summary>
[TestFixture, CancelAfter(120_000)]
public sealed class LossTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan LongestTelling = TimeSpan.FromSeconds(2);

    private readonly string _me = Sessions.NewName("loss");
    private PostgresServer _server = null!;
    private AdvisoryLocks _locks = null!;

    [OneTimeSetUp]
    public async Task StartServer() => _server = await PostgresServer.StartOwnAsync();

    [OneTimeTearDown]
    public async Task StopServer() => await _server.DisposeAsync();

    /// <summary>No heartbeat is due for longer than a holder may have to wait: it is not the heartbeat that tells.</summary>
    [SetUp]
    public void Connect() => _locks = Locks(_me);

    [TearDown]
    public async Task Leaves_no_lock_behind()
    {
        await _locks.DisposeAsync();

        Assert.That(await LockTable.CountLeftAsync(_server.ConnectionString), Is.Zero);
    }

    [Test]
    public async Task Tells_an_idle_holder_at_once_that_its_session_was_ended(CancellationToken stop)
    {
        var delays = new List<TimeSpan>();
        for (var round = 0; round < 10; round++)
        {
            await using var held = await _locks.TryAcquireOnceBackAsync("ended", stop);
            var lost = held!.WhenLost();

            var ended = Stopwatch.GetTimestamp();
            await Sessions.EndAsync(_server.ConnectionString, _me);

            delays.Add(Stopwatch.GetElapsedTime(ended, await lost.WaitAsync(Patience, stop)));
            await Sessions.WhenFreeAsync(_server.ConnectionString, "ended", stop);
        }

        TestContext.Out.WriteLine($"Told after ms: {string.Join(", ", delays.Select(static delay => $"{delay.TotalMilliseconds:0.0}"))}");
        Assert.That(delays, Is.All.LessThan(LongestTelling));
    }

    [Test]
    public async Task Sees_the_end_of_an_idle_connection_on_the_socket_of_this_Npgsql(CancellationToken stop)
    {
        await using var connection = await Raw.OpenAsync(_server.ConnectionString, stop);

        var socket = IdleSocket.Of(connection);
        Assert.That(socket, Is.Not.Null, "this Npgsql keeps its socket elsewhere");
        var before = socket!.HasDataOrIsClosed();
        await LockTable.AskAsync(_server.ConnectionString, "SELECT pg_terminate_backend($1)", connection.ProcessID);
        while (!socket.HasDataOrIsClosed()) stop.ThrowIfCancellationRequested();

        Assert.That(before, Is.False);
    }

    [Test]
    public async Task Tells_all_holders_when_one_backend_is_killed_and_the_server_drops_all_sessions(CancellationToken stop)
    {
        await using var others = Locks(Sessions.NewName("loss-other"));
        using var process = OtherProcess.Watch(_server.ConnectionString, "killed-process");
        await process.SaysWhenAsync(WatchedLock.Granted, stop);
        var held = await _locks.TryAcquireAsync("killed-mine", stop);
        var theirs = await others.TryAcquireAsync("killed-others", stop);
        Task<long>[] told = [held!.WhenLost(), theirs!.WhenLost(), process.SaysWhenAsync(WatchedLock.Lost, stop)];

        await using var victim = await Raw.OpenAsync(_server.ConnectionString, stop);
        using var backend = Process.GetProcessById(victim.ProcessID);
        var killed = Stopwatch.GetTimestamp();
        backend.Kill();

        var delays = (await Task.WhenAll(told).WaitAsync(Patience, stop)).Select(at => Stopwatch.GetElapsedTime(killed, at)).ToList();
        TestContext.Out.WriteLine($"Told after ms: {string.Join(", ", delays.Select(static delay => $"{delay.TotalMilliseconds:0.0}"))}");
        Assert.That(delays, Is.All.LessThan(LongestTelling));
        await held!.DisposeAsync();
        await theirs!.DisposeAsync();
        await using var again = await _locks.TryAcquireOnceBackAsync("killed-mine", stop);
        await using var theirsAgain = await others.TryAcquireOnceBackAsync("killed-others", stop);
        using (Assert.EnterMultipleScope())
        {
            Assert.That(again?.Lost.IsCancellationRequested, Is.False);
            Assert.That(theirsAgain?.Lost.IsCancellationRequested, Is.False);
        }
    }

    [Test]
    public async Task Answers_every_request_that_was_in_flight_and_keeps_no_lock_without_a_holder(CancellationToken stop)
    {
        const int Endings = 12;
        var holders = new ConcurrentDictionary<string, int>(StringComparer.Ordinal);
        var outcomes = new ConcurrentDictionary<string, int>(StringComparer.Ordinal);
        var overlaps = 0;
        var granted = new TaskCompletionSource();
        using var enough = CancellationTokenSource.CreateLinkedTokenSource(stop);

        void Use(JobLockHandle? handle)
        {
            outcomes.AddOrUpdate(handle is null ? "refused" : "granted", 1, static (_, count) => count + 1);
            if (handle is null) return;

            granted.TrySetResult();
            if (holders.AddOrUpdate(handle.Name!, 1, static (_, count) => count + 1) > 1) Interlocked.Increment(ref overlaps);
            holders.AddOrUpdate(handle.Name!, 0, static (_, count) => count - 1);
            handle.Dispose();
        }

        async Task Call(int caller)
        {
            for (var call = 0; !enough.IsCancellationRequested; call++)
            {
                var name = $"flight-{(caller + call) % 20}";
                try
                {
                    Use((caller + call) % 3 == 0 ? _locks.TryAcquire(name, CancellationToken.None) : await _locks.TryAcquireAsync(name, CancellationToken.None));
                }
                catch (JobLocksUnavailableException)
                {
                    outcomes.AddOrUpdate("unavailable", 1, static (_, count) => count + 1);
                    await Task.Delay(TimeSpan.FromMilliseconds(1), CancellationToken.None);
                }
            }
        }

        var callers = Enumerable.Range(0, 24).Select(caller => Task.Run(() => Call(caller), CancellationToken.None)).ToList();
        for (var ending = 0; ending < Endings; ending++)
        {
            // On a busy machine a session may end before it has granted anything: it works first, and then it ends in the middle of that.
            granted = new(TaskCreationOptions.RunContinuationsAsynchronously);
            await granted.Task.WaitAsync(stop);
            await Sessions.WhenOpenAsync(_server.ConnectionString, _me, stop);
            await Sessions.EndAsync(_server.ConnectionString, _me);
        }

        await enough.CancelAsync();
        await Task.WhenAll(callers).WaitAsync(Patience, stop);

        TestContext.Out.WriteLine(string.Join(", ", outcomes.Select(static outcome => $"{outcome.Value} {outcome.Key}")));
        await using var last = await _locks.TryAcquireOnceBackAsync("flight-last", stop);
        using (Assert.EnterMultipleScope())
        {
            Assert.That(overlaps, Is.Zero);
            Assert.That(last, Is.Not.Null);
            Assert.That(outcomes.GetValueOrDefault("granted"), Is.Positive);
            Assert.That(await CountWhenAsync(1), Is.EqualTo(1), "only what was taken last");
        }
    }

    [Test]
    public async Task Releases_without_an_exception_while_the_session_ends_and_the_keys_are_usable_at_once(CancellationToken stop)
    {
        for (var round = 0; round < 5; round++)
        {
            var held = await Task.WhenAll(Enumerable.Range(0, 100).Select(number => _locks.AcquireAsync($"release-{number}", Patience, stop)));

            var end = Sessions.EndAsync(_server.ConnectionString, _me);
            await Assert.ThatAsync(() => Parallel.ForEachAsync(held, stop, static (handle, _) => handle.DisposeAsync()), Throws.Nothing);
            await end;

            // A backend that was told to end may have its locks for a moment: so not the taker that leaves at once.
            var again = await Task.WhenAll(Enumerable.Range(0, 100).Select(number => AcquireOnceBackAsync($"release-{number}", stop)));
            foreach (var handle in again) await handle.DisposeAsync();
        }

        Assert.That(await CountWhenAsync(0), Is.Zero);
    }

    private async Task<JobLockHandle> AcquireOnceBackAsync(string name, CancellationToken stop)
    {
        while (true)
        {
            try
            {
                return await _locks.AcquireAsync(name, Patience, stop);
            }
            catch (JobLocksUnavailableException)
            {
                await Task.Delay(TimeSpan.FromMilliseconds(20), stop);
            }
        }
    }

    /// <summary>Releases are not waited for, and a session that was ended may take a moment.</summary>
    private async Task<long> CountWhenAsync(long wanted)
    {
        var waited = Stopwatch.StartNew();
        while (true)
        {
            var count = await LockTable.CountAsync(_server.ConnectionString);
            if (count == wanted || waited.Elapsed > TimeSpan.FromSeconds(10)) return count;

            await Task.Delay(DatabaseState.LookAgainAfter);
        }
    }

    private AdvisoryLocks Locks(string name) => AdvisoryLocks.Connect(_server.ConnectionString, options =>
    {
        options.HeartbeatInterval = TimeSpan.FromSeconds(5);
        options.ApplicationName = name;
    });
}
