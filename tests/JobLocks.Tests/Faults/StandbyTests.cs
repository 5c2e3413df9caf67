using System.Diagnostics;
using System.Globalization;
using JobLocks.Testing.Postgres;
using JobLocks.Tests.Support;
using Npgsql;

namespace JobLocks.Tests.Faults;

/// <summary>A synchronous standby that is away: every commit waits for it, save those of the lock session. Has a server of its own to set up.</summary>
[TestFixture, CancelAfter(120_000)]
public sealed class StandbyTests
{
    private static readonly TimeSpan LostAfter = TimeSpan.FromSeconds(3);

    // A release waits for others for two seconds.
    private static readonly TimeSpan SurelyInTime = TimeSpan.FromSeconds(1.5);

    private readonly string _me = Sessions.NewName("standby");
    private PostgresServer _server = null!;
    private NpgsqlConnection _admin = null!;
    private AdvisoryLocks _locks = null!;
    private Task _commit = Task.CompletedTask;

    [SetUp]
    public async Task StartServer()
    {
        _server = await PostgresServer.StartOwnAsync();
        _admin = await Raw.OpenAsync(_server.ConnectionString, CancellationToken.None);
        _locks = AdvisoryLocks.Connect(_server.ConnectionString, options =>
        {
            options.LostAfter = LostAfter;
            options.HeartbeatInterval = TimeSpan.FromSeconds(0.5);
            options.ApplicationName = _me;
        });
    }

    [TearDown]
    public async Task StopServer()
    {
        await _locks.DisposeAsync();
        await _admin.AskAsync("ALTER SYSTEM RESET synchronous_standby_names", CancellationToken.None);
        await _admin.AskAsync("SELECT pg_reload_conf()", CancellationToken.None);
        await _commit;
        await _admin.DisposeAsync();
        await _server.DisposeAsync();
    }

    [Test]
    public async Task Keeps_its_locks_and_counts_what_they_did(CancellationToken stop)
    {
        await using var held = await _locks.TryAcquireAsync("held", stop);
        await LoseStandbyAsync(stop);

        await (await _locks.TryAcquireAsync("short", stop))!.DisposeAsync();
        while (await LockTable.AskAsync(_server.ConnectionString, "SELECT count(*) FROM joblocks.names WHERE name = 'short'") is 0L) await Task.Delay(DatabaseState.LookAgainAfter, stop);
        await Sessions.WhenHeardAfterAsync(_server.ConnectionString, _me, 2 * LostAfter, stop);

        Assert.That(held!.Lost.IsCancellationRequested, Is.False);
    }

    [Test]
    public async Task Opens_a_session_and_draws_tokens(CancellationToken stop)
    {
        await LoseStandbyAsync(stop);

        await using var handle = await _locks.TryAcquireAsync("first", stop);

        Assert.That(handle!.FencingToken, Is.Positive);
    }

    /// <summary>Who tells others waits at the end of a transaction for all others who do, and those may wait for a disk or a standby.</summary>
    [Test]
    public async Task Waits_for_a_moment_for_others_who_tell_others(CancellationToken stop)
    {
        await using var holder = AdvisoryLocks.Connect(_server.ConnectionString);
        await using var waiter = AdvisoryLocks.Connect(_server.ConnectionString);
        await using var listener = await Raw.OpenAsync(_server.ConnectionString, stop);
        var heard = new List<string>();
        listener.Notification += (_, news) => heard.Add(news.Payload);
        await listener.AskAsync("LISTEN joblocks", stop);

        // On a slow machine the standby may come back later than anybody waits for others.
        var away = TimeSpan.MaxValue;
        for (var tries = 1; heard.Count == 0 && away > SurelyInTime && tries <= 5; tries++)
        {
            away = await TellWhileTheStandbyIsAwayAsync(holder, waiter, stop);
            await listener.WaitAsync(TimeSpan.FromSeconds(1), stop);
        }

        Assert.That(heard, Has.Some.EqualTo(LockKey.Of("told").Value.ToString(CultureInfo.InvariantCulture)));
    }

    /// <summary>Releases a lock that somebody waits for.</summary>
    /// <returns>For how long the standby was away from then on.</returns>
    private async Task<TimeSpan> TellWhileTheStandbyIsAwayAsync(AdvisoryLocks holder, AdvisoryLocks waiter, CancellationToken stop)
    {
        var held = await holder.TryAcquireAsync("told", stop);
        var waiting = waiter.AcquireAsync("told", Timeout.InfiniteTimeSpan, stop);
        await Markers.WhenShownAsync(_server.ConnectionString, Markers.Waiting, stop);
        await LoseStandbyAsync(stop, "INSERT INTO written DEFAULT VALUES; NOTIFY somebody_else");

        var released = Stopwatch.GetTimestamp();
        await held!.DisposeAsync();
        var next = holder.TryAcquireAsync("next", stop);
        await _admin.AskAsync("SELECT pg_sleep(0.3)", stop);
        await _admin.AskAsync("ALTER SYSTEM RESET synchronous_standby_names", stop);
        await _admin.AskAsync("SELECT pg_reload_conf()", stop);
        await (await waiting).DisposeAsync();
        await using var handle = await next;
        Assert.That(handle, Is.Not.Null);
        await _commit;
        return Stopwatch.GetElapsedTime(released);
    }

    /// <summary>Names a standby that is not there, and waits until a commit hangs.</summary>
    private async Task LoseStandbyAsync(CancellationToken stop, string commit = "INSERT INTO written DEFAULT VALUES")
    {
        await _admin.AskAsync("CREATE TABLE IF NOT EXISTS written (at timestamptz DEFAULT now())", stop);
        await _admin.AskAsync("ALTER SYSTEM SET synchronous_standby_names = 'away'", stop);
        await _admin.AskAsync("SELECT pg_reload_conf()", stop);
        while (true)
        {
            _commit = LockTable.AskAsync(_server.ConnectionString, commit);
            while (!_commit.IsCompleted)
            {
                if (await _admin.AskAsync("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'", stop) is > 0L) return;
            }
        }
    }
}
