using Hangfire.States;
using JobLocks.Hangfire.Tests.Support;
using JobLocks.Testing.Postgres;
using Npgsql;

namespace JobLocks.Hangfire.Tests;

/// <summary>A role that may create in <c>public</c> has functions, operators, views and types there that match our calls on Hangfire's connections: none of them runs.</summary>
[TestFixture, CancelAfter(120_000)]
public sealed class ForeignObjectsTests
{
    // The driver's own questions about types would run through shadows for minutes.
    private const string Quick = ";Server Compatibility Mode=NoTypeLoading";

    private string[] _statements = [];
    private ShadowObjects _shadows = null!;

    [OneTimeSetUp]
    public async Task ReadStatements()
    {
        string[] texts = [.. SqlWords.TextsOf(typeof(JobLockAttribute).Assembly)];
        _statements = Array.ConvertAll(texts, static text => text.Replace("{0}", "hangfire", StringComparison.Ordinal));
        _shadows = await ShadowObjects.OfAsync(
            await AssemblySetup.Server.CreateDatabaseAsync("words"), SqlWords.Of(texts), onlyCloser: false, CancellationToken.None);
    }

    [TestCase(""), TestCase(";Search Path=public,pg_catalog")]
    public async Task Run_nothing_of_the_statements_on_connections_of_the_storage(string path, CancellationToken stop)
    {
        var database = await AssemblySetup.Server.CreateDatabaseAsync(nameof(ForeignObjectsTests), stop);
        await using (var tables = new HangfireProcess("tables", database, new() { UsesJobLocks = false }, new AnnouncedStates())) tables.OpenConnection().Dispose();
        await TestContext.Out.WriteLineAsync(await _shadows.PlantAsync(database, stop, _statements));
        using var sent = new SentStatements(new NpgsqlConnectionStringBuilder(database).Database!);

        await WaitAndWakeAsync($"{database}{Quick}{path}", () => IsSentAsync(sent, stop), stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(_statements, Is.Not.Empty);
            Assert.That(await ShadowObjects.CallsAsync(database, stop), Is.Empty);
        }
    }

    /// <summary>A run that waits is looked up in its storage after two seconds.</summary>
    private async Task IsSentAsync(SentStatements sent, CancellationToken stop)
    {
        while (_statements.Except(sent.Texts, StringComparer.Ordinal).Any()) await Task.Delay(DatabaseState.LookAgainAfter, stop);
    }

    private static async Task WaitAndWakeAsync(string database, Func<Task> whileOneWaits, CancellationToken stop)
    {
        var stage = Stage.Open();
        await using var servers = HangfireServers.Start(database);
        var held = servers.EnqueueFor<WaitingJob>(servers[0], job => job.Run(stage.Id));
        await stage.EnteredAsync(stop);
        var waiting = await servers.ParkedAsync(servers.EnqueueFor<WaitingJob>(servers[1], job => job.Run(stage.Id)), stop);
        // Its queue is known only by its states.
        var withoutQueue = await servers.ParkedAsync(servers.Enqueue<WaitingJob>(job => job.Run(stage.Id)), stop);

        await whileOneWaits();
        stage.LetLeave();
        await servers.States.NextAsync<SucceededState>(held, stop);
        await servers.States.NextAsync<SucceededState>(waiting, stop);
        await servers.States.NextAsync<SucceededState>(withoutQueue, stop);
    }
}
