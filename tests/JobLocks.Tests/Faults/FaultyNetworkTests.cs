using System.Diagnostics;
using System.Net.Sockets;
using JobLocks.Testing.Postgres;
using JobLocks.Tests.Support;
using Npgsql;

namespace JobLocks.Tests.Faults;

/// <summary>That the faults which other tests rely on are what they say.</summary>
[TestFixture, CancelAfter(60_000)]
public sealed class FaultyNetworkTests
{
    private const string Me = "SELECT pg_backend_pid()";

    private string _database = "";
    private FaultyNetwork _network = null!;

    /// <summary>Short limits, for connections that will run into them. After the last it does not wait for the end of the command.</summary>
    private string Impatient => _network.ConnectionString + ";Timeout=1;Command Timeout=1;Cancellation Timeout=-1";

    [OneTimeSetUp]
    public async Task CreateDatabase() => _database = await AssemblySetup.Server.CreateDatabaseAsync("faulty_network");

    [SetUp]
    public async Task OpenNetwork() => _network = await FaultyNetwork.StartAsync(_database);

    [TearDown]
    public async Task CloseNetwork() => await _network.DisposeAsync();

    [Test]
    public async Task Passes_everything_on_as_long_as_nothing_is_wrong(CancellationToken stop)
    {
        await using (var connection = await Raw.OpenAsync(_network.ConnectionString, stop))
        {
            Assert.That(await connection.AskAsync("SELECT repeat('x', 6000000)", stop), Has.Length.EqualTo(6_000_000));
            await using var command = new NpgsqlCommand("SELECT length($1)", connection) { Parameters = { new() { Value = new string('y', 6_000_000) } } };
            Assert.That(await command.ExecuteScalarAsync(stop), Is.EqualTo(6_000_000));
        }

        await WhenNoneIsLeftAsync(stop);
    }

    [Test]
    public async Task Lets_a_query_time_out_in_a_black_hole_while_the_session_stays(CancellationToken stop)
    {
        await using var connection = await Raw.OpenAsync(Impatient, stop);
        var session = await connection.AskAsync(Me, stop);
        await connection.AskAsync("SELECT pg_advisory_lock(4)", stop);

        _network.BlackHole();
        _network.RefuseNew();

        await Assert.ThatAsync(() => connection.AskAsync(Me, stop), Throws.InstanceOf<NpgsqlException>().With.InnerException.TypeOf<TimeoutException>());
        Assert.That(await HoldersAsync(), Is.EqualTo(session));
        _network.Cut();
        await WhenNobodyHoldsAsync(stop);
    }

    [Test]
    public async Task Does_not_tell_the_server_that_a_client_in_a_black_hole_has_gone(CancellationToken stop)
    {
        var connection = await Raw.OpenAsync(_network.ConnectionString, stop);
        await connection.AskAsync("SELECT pg_advisory_lock(4)", stop);
        _network.BlackHole();

        await connection.DisposeAsync();
        _network.Heal();

        // A later connection that comes and goes shows that an end would have come through by now.
        await (await Raw.OpenAsync(_network.ConnectionString, stop)).DisposeAsync();
        Assert.That(await HoldersAsync(), Is.Not.Null);
        _network.Cut();
        await WhenNobodyHoldsAsync(stop);
    }

    [Test]
    public async Task Does_not_tell_a_client_in_a_black_hole_that_the_server_ended_its_session(CancellationToken stop)
    {
        await using var connection = await Raw.OpenAsync(_network.ConnectionString, stop);
        var session = (int)(await connection.AskAsync(Me, stop))!;
        var told = connection.WaitAsync(stop);
        _network.BlackHole();

        await LockTable.AskAsync(_database, "SELECT pg_terminate_backend($1, 10000)", session);
        await (await Raw.OpenAsync(_database, stop)).DisposeAsync();

        Assert.That(told.IsCompleted, Is.False);
        _network.Cut();
        await Assert.ThatAsync(() => told, Throws.InstanceOf<NpgsqlException>());
    }

    [Test]
    public async Task Drops_what_the_server_answers_while_it_does_as_told(CancellationToken stop)
    {
        await using var connection = await Raw.OpenAsync(_network.ConnectionString, stop);
        _network.DropToClient();

        var answer = connection.AskAsync("SELECT pg_advisory_lock(4)", stop);
        while (await HoldersAsync() is null) await Task.Delay(DatabaseState.LookAgainAfter, stop);

        Assert.That(answer.IsCompleted, Is.False);
        _network.Cut();
        await Assert.ThatAsync(() => answer, Throws.InstanceOf<NpgsqlException>());
        await WhenNobodyHoldsAsync(stop);
    }

    [Test]
    public async Task Drops_what_the_client_asks_while_the_server_can_still_speak(CancellationToken stop)
    {
        await using var connection = await Raw.OpenAsync(_network.ConnectionString, stop);
        var session = (int)(await connection.AskAsync(Me, stop))!;
        _network.DropToServer();

        var answer = connection.AskAsync("SELECT pg_advisory_lock(4)", stop);
        await LockTable.AskAsync(_database, "SELECT pg_terminate_backend($1)", session);

        await Assert.ThatAsync(() => answer, Throws.InstanceOf<PostgresException>().With.Property(nameof(PostgresException.SqlState)).EqualTo(PostgresErrorCodes.AdminShutdown));
    }

    [Test]
    public async Task Opens_no_connection_in_a_black_hole_and_does_again_after_it(CancellationToken stop)
    {
        _network.BlackHole();
        await Assert.ThatAsync(() => Raw.OpenAsync(Impatient, stop), Throws.InstanceOf<NpgsqlException>());

        _network.Heal();

        await using var connection = await Raw.OpenAsync(_network.ConnectionString, stop);
        Assert.That(await connection.AskAsync("SELECT 1", stop), Is.EqualTo(1));
    }

    [Test]
    public async Task Goes_on_after_a_black_hole_with_a_connection_that_lost_nothing(CancellationToken stop)
    {
        await using var connection = await Raw.OpenAsync(_network.ConnectionString, stop);
        var session = await connection.AskAsync(Me, stop);

        _network.BlackHole();
        _network.Heal();

        Assert.That(await connection.AskAsync(Me, stop), Is.EqualTo(session));
    }

    [Test]
    public async Task Delivers_what_it_held_once_it_is_healed(CancellationToken stop)
    {
        await using var connection = await Raw.OpenAsync(_network.ConnectionString, stop);
        _network.Hold();
        var answer = connection.AskAsync("SELECT 'late'", stop);
        await (await Raw.OpenAsync(_database, stop)).DisposeAsync();
        Assert.That(answer.IsCompleted, Is.False);

        _network.Heal();

        Assert.That(await answer, Is.EqualTo("late"));
    }

    [Test]
    public async Task Delays_each_direction_by_its_latency(CancellationToken stop)
    {
        await using var connection = await Raw.OpenAsync(_network.ConnectionString, stop);
        await connection.AskAsync(Me, stop);
        _network.DelayToServer(TimeSpan.FromMilliseconds(200));
        _network.DelayToClient(TimeSpan.FromMilliseconds(300));

        var took = Stopwatch.StartNew();
        await connection.AskAsync(Me, stop);

        Assert.That(took.Elapsed, Is.GreaterThanOrEqualTo(TimeSpan.FromMilliseconds(500)));
    }

    [Test]
    public async Task Cuts_every_connection_at_both_ends_and_lets_new_ones_in(CancellationToken stop)
    {
        await using var one = await Raw.OpenAsync(_network.ConnectionString, stop);
        await using var other = await Raw.OpenAsync(_network.ConnectionString, stop);
        await one.AskAsync("SELECT pg_advisory_lock(4)", stop);

        _network.Cut();

        await Assert.ThatAsync(() => one.AskAsync(Me, stop), Throws.InstanceOf<NpgsqlException>());
        await Assert.ThatAsync(() => other.AskAsync(Me, stop), Throws.InstanceOf<NpgsqlException>());
        await WhenNobodyHoldsAsync(stop);
        await using var next = await Raw.OpenAsync(_network.ConnectionString, stop);
        Assert.That(await next.AskAsync("SELECT 1", stop), Is.EqualTo(1));
    }

    [Test]
    public async Task Refuses_new_connections_while_old_ones_go_on(CancellationToken stop)
    {
        await using var old = await Raw.OpenAsync(_network.ConnectionString, stop);

        _network.RefuseNew();

        await Assert.ThatAsync(
            () => Raw.OpenAsync(_network.ConnectionString, stop),
            Throws.InstanceOf<NpgsqlException>().With.InnerException.Property(nameof(SocketException.SocketErrorCode)).EqualTo(SocketError.ConnectionRefused));
        Assert.That(await old.AskAsync("SELECT 1", stop), Is.EqualTo(1));
        _network.Heal();
        await (await Raw.OpenAsync(_network.ConnectionString, stop)).DisposeAsync();
    }

    [Test]
    public async Task Tells_when_a_fault_was_in_force()
    {
        var before = Stopwatch.GetTimestamp();

        _network.BlackHole();

        Assert.That(_network.FaultTimestamp, Is.InRange(before, Stopwatch.GetTimestamp()));
    }

    [Test]
    public async Task Holds_its_own_with_many_connections_and_a_busy_thread_pool(CancellationToken stop)
    {
        using var mayGo = new ManualResetEventSlim();
        var busy = Enumerable.Range(0, 2 * Environment.ProcessorCount).Select(_ => Task.Run(() => mayGo.Wait(stop), stop)).ToList();
        try
        {
            await Task.WhenAll(Enumerable.Range(0, 20).Select(async _ =>
            {
                await using var connection = await Raw.OpenAsync(_network.ConnectionString, stop);
                await connection.AskAsync(Me, stop);
            }));
        }
        finally
        {
            mayGo.Set();
        }

        await Task.WhenAll(busy);
        await WhenNoneIsLeftAsync(stop);
    }

    /// <summary>The session that holds a lock, if any. This fixture runs its tests one after the other.</summary>
    private Task<object?> HoldersAsync() => LockTable.AskAsync(
        _database, "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())");

    private async Task WhenNobodyHoldsAsync(CancellationToken stop)
    {
        while (await HoldersAsync() is not null) await Task.Delay(TimeSpan.FromMilliseconds(10), stop);
    }

    private async Task WhenNoneIsLeftAsync(CancellationToken stop)
    {
        while (_network.Connections > 0) await Task.Delay(TimeSpan.FromMilliseconds(10), stop);
    }
}
