using JobLocks.Gate;
using JobLocks.Tests.Support;
using Npgsql;

namespace JobLocks.Tests.Inspection;

/// <summary>A lock is asked for that several have, or of which the wrong one is asked; and what is logged about it.</summary>
[TestFixture, CancelAfter(30_000)]
public sealed class AskTests
{
    private const string Name = "doc:1";

    private static readonly LockKey Key = LockKey.Of(Name);

    private readonly LogLines _log = new();
    private string _database = "";
    private AdvisoryLocks _locks = null!;
    private AdvisoryLocks _looking = null!;

    [SetUp]
    public async Task Connect()
    {
        _database = await AssemblySetup.Server.CreateDatabaseAsync("ask");
        _locks = AdvisoryLocks.Connect(_database);
        _looking = AdvisoryLocks.Connect(_database, loggers: _log);
    }

    [TearDown]
    public async Task Close()
    {
        await _locks.DisposeAsync();
        await _looking.DisposeAsync();
        _log.Dispose();
    }

    [Test]
    public async Task Is_not_released_while_one_of_those_has_it_who_had_it_then(CancellationToken stop)
    {
        using var first = await ShareAsync(_locks, "Hangfire job 1", stop);
        using var second = await ShareAsync(_locks, "Hangfire job 2", stop);
        await using var script = new NpgsqlConnection(_database + ";Pooling=false");
        await script.OpenAsync(stop);
        await using var take = new NpgsqlCommand($"SELECT pg_advisory_lock_shared({Key})", script);
        await take.ExecuteNonQueryAsync(stop);
        while ((await _looking.Inspector.GetHeldAsync(stop: stop)).Items.Count(static one => one.Holder.Run is not null) < 2) stop.ThrowIfCancellationRequested();
        foreach (var handle in new[] { first, second }) LetGoWhenAsked(handle);

        var page = await _looking.Inspector.GetHeldAsync(stop: stop);
        var answer = await _looking.Inspector.RequestReleaseAsync(Key, "ops", TimeSpan.FromSeconds(10), stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That((page.Items.Count, page.Total), Is.EqualTo((3, 3L)), "as many are counted as are shown");
            Assert.That(answer, Is.EqualTo(ReleaseAnswer.IsForeign), "the script has it still");
            Assert.That((await _looking.Inspector.GetNameAsync(Key, stop)).Held.Select(static one => one.Holder.Backend), Is.EqualTo([script.ProcessID]));
        }
    }

    [Test]
    public async Task Asks_one_as_well_that_has_had_it_for_a_moment_only(CancellationToken stop)
    {
        await using var other = AdvisoryLocks.Connect(_database);
        using var warm = await other.TryAcquireAsync("warm", stop);
        using var first = await ShareAsync(_locks, "Hangfire job 1", stop);
        while ((await _looking.Inspector.GetHeldAsync(stop: stop)).Items.All(static one => one.Holder.Run is not "Hangfire job 1")) stop.ThrowIfCancellationRequested();
        LetGoWhenAsked(first);
        using var fresh = await ShareAsync(other, "Hangfire job 2", stop);
        LetGoWhenAsked(fresh);

        var answer = await _looking.Inspector.RequestReleaseAsync(Key, "ops", TimeSpan.FromSeconds(10), stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(answer, Is.EqualTo(ReleaseAnswer.Released));
            Assert.That(fresh.Lost.IsCancellationRequested, Is.True);
            Assert.That((await _looking.Inspector.GetNameAsync(Key, stop)).Held, Is.Empty);
        }
    }

    [Test]
    public async Task Logs_who_asked_though_he_goes_away_before_there_is_an_answer(CancellationToken stop)
    {
        using var held = await ShareAsync(_locks, "Hangfire job 1", stop);
        using var leaves = CancellationTokenSource.CreateLinkedTokenSource(stop);
        var lost = held.WhenLost();

        var asked = _looking.Inspector.RequestReleaseAsync(Key, "alice", TimeSpan.FromSeconds(20), leaves.Token);
        await lost.WaitAsync(stop);
        await leaves.CancelAsync();

        await Assert.ThatAsync(() => asked, Throws.InstanceOf<OperationCanceledException>());
        Assert.That(_log.Text, Does.Contain($"alice requests the release of the lock {Key} from its holder"));
    }

    [Test]
    public async Task Logs_who_wanted_to_end_a_session_though_he_may_not(CancellationToken stop)
    {
        var role = $"looks_{Guid.NewGuid():N}";
        await LockTable.AskAsync(_database, $"CREATE ROLE {role}");
        await using var locks = AdvisoryLocks.Connect($"{_database};Options=-c role={role}", static options => options.Schema = null, _log);
        using var held = await _locks.TryAcquireAsync(Name, stop);
        var backend = (await _looking.Inspector.GetHeldAsync(stop: stop)).Items[0].Holder.Backend;

        await Assert.ThatAsync(() => locks.Inspector.EndSessionAsync(backend, "mallory", stop), Throws.TypeOf<UnauthorizedAccessException>());
        await LockTable.AskAsync(_database, $"DROP ROLE {role}");

        Assert.That(_log.Text, Does.Contain($"mallory requests the end of the session of backend {backend}").And.Contain($"mallory requested the end of the session of backend {backend}: This role may not do that"));
    }

    private static async Task<JobLockHandle> ShareAsync(AdvisoryLocks locks, string run, CancellationToken stop) =>
        (await ((ILockBackend)locks).TryAcquireAllAsync([new(Name, Key, LockMode.Shared)], new() { Run = run }, entry: null, blocks: false, stop)).Handles[0];

    private static void LetGoWhenAsked(JobLockHandle held) => held.Lost.UnsafeRegister(static handle => ((JobLockHandle)handle!).Dispose(), held);
}
