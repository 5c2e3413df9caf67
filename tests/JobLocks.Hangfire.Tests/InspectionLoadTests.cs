using System.Collections.Concurrent;
using Hangfire.States;
using JobLocks.Hangfire.Tests.Support;
using JobLocks.Hosting;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Npgsql;

namespace JobLocks.Hangfire.Tests;

/// <summary>Many look at the locks while a table is locked that only the pages need. Runs go on.</summary>
[TestFixture]
public sealed class InspectionLoadTests : RealServers
{
    private const int Viewers = 20;
    private const int Searchers = 100;
    private const int Runs = 9;

    [Test, CancelAfter(120_000)]
    public async Task Goes_on_with_runs_and_says_which_table_is_locked([Values("minutes", "names", "holders", "sessions")] string table, CancellationToken stop)
    {
        var stage = NewStage();
        var locks = Servers[0].Locks!;
        await HoldAndWaitAsync(stage, stop);
        var byHand = await Servers[1].Locks!.TryAcquireAsync(table, stop);
        await using var site = await DashboardSite.StartAsync(Servers[0].Storage, locks: locks.Inspector);
        await using var admin = await NpgsqlDataSource.Create(Servers.Database).OpenConnectionAsync(stop);
        var transaction = await admin.BeginTransactionAsync(stop);
        await using var lockTable = new NpgsqlCommand($"LOCK TABLE joblocks.{table} IN ACCESS EXCLUSIVE MODE", admin);
        await lockTable.ExecuteNonQueryAsync(stop);
        string[] paths = [$"/joblocks/names/{stage.Key}", $"/hangfire/joblocks/names/{stage.Key}", "/joblocks", "/hangfire/joblocks", "/joblocks/search?q=sync"];
        await using var viewers = new Viewing(site, Viewers, paths, stop);

        // All of it while the table is locked.
        var ids = Enumerable.Range(0, Runs).Select(_ => Servers.EnqueueFor<WaitingJob>(Servers[1], job => job.Run(stage.Id))).ToList();
        foreach (var id in ids) await Servers.ParkedAsync(id, stop);
        var waiting = locks.AcquireAsync(table, TimeSpan.FromMinutes(1), stop);
        await byHand!.DisposeAsync();
        await (await waiting).DisposeAsync();
        stage.LetLeave();
        foreach (var id in ids) await Servers.States.NextAsync<SucceededState>(id, stop);
        await viewers.SawAsync(text => text.Contains($"The table joblocks.{table} in ", StringComparison.Ordinal) && text.Contains($"is locked by backend {admin.ProcessID}", StringComparison.Ordinal));
        await viewers.SawAsync(text => text.Contains("class=\"alert alert-warning js-joblocks-again\"", StringComparison.Ordinal));
        var during = await HealthAsync(HealthStatus.Degraded);
        await transaction.DisposeAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(stage.MostAtOnce, Is.EqualTo(1));
            Assert.That(during.Description, Does.Contain("sessions, holders, names, minutes or recent_runs, and"));
            Assert.That((await HealthAsync(HealthStatus.Healthy)).Status, Is.EqualTo(HealthStatus.Healthy));
            Assert.That(viewers.Advice, Is.Empty, "no advice about a pool whose size is not the user's");
        }

        Task<HealthCheckResult> HealthAsync(HealthStatus expected) => Patience.UntilAsync(
            async () => await new JobLocksHealthCheck(locks).CheckHealthAsync(new() { Registration = new("locks", new JobLocksHealthCheck(locks), null, null) }, stop), health => health.Status == expected, stop);
    }

    [Test, CancelAfter(120_000)]
    public async Task A_wave_of_runs_passes_while_a_hundred_search(CancellationToken stop)
    {
        var stage = NewStage();
        await using var site = await DashboardSite.StartAsync(Servers[0].Storage, locks: Servers[0].Locks!.Inspector);
        string[] paths = ["/joblocks/search?q=sync", $"/joblocks/search?q={stage.Id}", "/joblocks/search?q=nothing+of+that+name"];
        await using var viewers = new Viewing(site, Searchers, paths, stop);
        await viewers.AnsweredAsync(Searchers);

        var ids = Enumerable.Range(1, Runs).Select(number => Servers.Enqueue<WaitingJob>(job => job.Pass(stage.Id, number))).ToList();
        foreach (var id in ids) await Servers.States.NextAsync<SucceededState>(id, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(stage.MostAtOnce, Is.EqualTo(1));
            Assert.That(viewers.Advice, Is.Empty, "no advice about a pool whose size is not the user's");
            Assert.That(viewers.Unexpected, Is.Empty, "each gets the page, or is told to come again");
        }
    }

    /// <summary>Browsers that load pages again and again, as fast as they are answered.</summary>
    private sealed class Viewing : IAsyncDisposable
    {
        private readonly Journal<string> _seen = new();
        private readonly CancellationTokenSource _end;
        private readonly CancellationToken _stop;
        private readonly Task _viewers;
        private readonly ConcurrentBag<int> _answers = [];

        public Viewing(DashboardSite site, int count, string[] paths, CancellationToken stop)
        {
            _stop = stop;
            _end = CancellationTokenSource.CreateLinkedTokenSource(stop);
            _viewers = Task.WhenAll(Enumerable.Range(0, count).Select(i => Task.Run(() => ViewAsync(site, paths[i % paths.Length]), stop)));
        }

        public IEnumerable<string> Advice => _seen.Entries.Where(static text => text.Contains("Max Pool Size", StringComparison.Ordinal));

        public IEnumerable<int> Unexpected => _answers.Where(static status => status is not (200 or 302 or 503));

        public async Task AnsweredAsync(int count) => await Patience.UntilAsync(() => Task.FromResult(_answers.Count), answers => answers >= count, _stop);

        public Task<string> SawAsync(Func<string, bool> expected) => _seen.NextAsync(expected, _stop);

        public async ValueTask DisposeAsync()
        {
            await _end.CancelAsync();
            await _viewers;
            _end.Dispose();
        }

        private async Task ViewAsync(DashboardSite site, string path)
        {
            try
            {
                while (true)
                {
                    using var answer = await site.Client.GetAsync(new Uri(path, UriKind.Relative), _end.Token);
                    var text = await answer.Content.ReadAsStringAsync(_end.Token);
                    _answers.Add((int)answer.StatusCode);
                    if ((int)answer.StatusCode == 503) _seen.Add(text);
                }
            }
            catch (OperationCanceledException) when (_end.IsCancellationRequested)
            {
                // It has looked enough.
            }
        }
    }
}
