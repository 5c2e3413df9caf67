using Npgsql;

namespace JobLocks.AspNetCore.Tests;

/// <summary>The numbers of one page fit together while runs come and go.</summary>
[TestFixture, CancelAfter(60_000)]
public sealed class OneReadingTests
{
    private const string Name = "order:42";
    private const int Looks = 40;

    private static readonly string NamePage = $"/joblocks/names/{LockKey.Of(Name)}";

    [Test]
    public async Task Says_above_the_table_how_many_runs_wait_in_it(CancellationToken stop)
    {
        await using var site = await Site.StartAsync();
        await using var coming = await ComeAndGo.StartAsync(site, stop);

        for (var i = 0; i < Looks; i++)
        {
            // Other than the beginning, which is read once a second for all who look.
            var page = await site.GetAsync("/joblocks?held=1");

            Assert.That(page, page.Contains("No run waits.", StringComparison.Ordinal)
                ? Does.Contain("<b>0</b> waiting")
                : Does.Contain("<b>2</b> waiting").And.Match("<td data-label=\"Runs\" class=\"number\">2[ <]"));
        }
    }

    [Test]
    public async Task Shows_the_position_of_a_run_in_the_queue_below(CancellationToken stop)
    {
        await using var site = await Site.StartAsync();
        await using var coming = await ComeAndGo.StartAsync(site, stop);

        for (var i = 0; i < Looks; i++)
        {
            var page = await site.GetAsync($"{NamePage}?run=4712");

            Assert.That(page, page.Contains("No run waits for it.", StringComparison.Ordinal) ? Does.Not.Contain("position 2 of 2") : Does.Contain("position 2 of 2"));
        }
    }

    [Test]
    public async Task Answers_as_JSON_with_numbers_that_fit_together(CancellationToken stop)
    {
        await using var site = await Site.StartAsync();
        await using var coming = await ComeAndGo.StartAsync(site, stop);

        for (var i = 0; i < Looks; i++)
        {
            var overview = await site.GetAsync("/joblocks/api/v1/overview");

            Assert.That(overview, overview.Contains("\"waiting\":0", StringComparison.Ordinal) ? Does.Contain("\"longestQueues\":[]") : Does.Contain("\"waiting\":2").And.Contain("\"length\":2"));
        }
    }

    /// <summary>Two runs that are in the wait queue and out of it in turn, both at once.</summary>
    private sealed class ComeAndGo(NpgsqlConnection connection) : IAsyncDisposable
    {
        private const string Turn = "UPDATE joblocks.wait_queue SET verdict = CASE WHEN verdict IS NULL THEN 'gone' END";

        private readonly CancellationTokenSource _end = new();
        private Task _turns = Task.CompletedTask;

        public static async Task<ComeAndGo> StartAsync(Site site, CancellationToken stop)
        {
            await site.ParkAsync(Name, "4711");
            await site.ParkAsync(Name, "4712");
            var coming = new ComeAndGo(await site.OpenAsync(stop));
            coming._turns = coming.TurnAsync();
            return coming;
        }

        public async ValueTask DisposeAsync()
        {
            await _end.CancelAsync();
            await _turns;
            await connection.DisposeAsync();
            _end.Dispose();
        }

        private async Task TurnAsync()
        {
            await using var turn = new NpgsqlCommand(Turn, connection);
            while (!_end.IsCancellationRequested) await turn.ExecuteNonQueryAsync();
        }
    }
}
