using System.Text.RegularExpressions;
using Hangfire;
using Hangfire.States;
using JobLocks.Gate;
using JobLocks.Hangfire.Tests.Support;
using Npgsql;

namespace JobLocks.Hangfire.Tests;

/// <summary>The locks in Hangfire's own dashboard.</summary>
[TestFixture]
public sealed partial class DashboardTests : RealServers
{
    private static readonly string[] Invisible = ["\uFE0F", "\u3164", "\u00A0", "\U000E0041", "&#xE0041;"];

    [Test, CancelAfter(60_000)]
    public async Task Shows_who_holds_a_lock_and_who_waits_with_links_to_their_jobs(CancellationToken stop)
    {
        var stage = NewStage();
        var (held, waiting) = await HoldAndWaitAsync(stage, stop);
        await using var site = await DashboardSite.StartAsync(Servers[0].Storage);

        var locks = await site.GetAsync("/hangfire/joblocks");
        var name = await site.GetAsync($"/hangfire/joblocks/names/{stage.Key}");

        using (Assert.EnterMultipleScope())
        {
            Assert.That(locks, Does.Contain($"<bdi>{stage.LockName}</bdi>").And.Contain($"<a href=\"/hangfire/jobs/details/{held}\">job <bdi>{held}</bdi></a>"));
            Assert.That(name, Does.Contain($"<a href=\"/hangfire/jobs/details/{waiting}\">job <bdi>{waiting}</bdi></a>").And.Contain("Request release"));
            Assert.That(await site.GetAsync("/hangfire/"), Does.Contain("href=\"/hangfire/joblocks\"").And.Contain("data-metric=\"joblocks:held\""));
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Shows_the_tables_of_the_page_of_the_locks(CancellationToken stop)
    {
        var stage = NewStage();
        await HoldAndWaitAsync(stage, stop);
        await using var site = await DashboardSite.StartAsync(Servers[0].Storage, locks: Servers[0].Locks!.Inspector);

        var overview = HeadersOn(await site.GetAsync("/hangfire/joblocks"));
        var name = HeadersOn(await site.GetAsync($"/hangfire/joblocks/names/{stage.Key}"));

        Assert.That(HeadersOn(await site.GetAsync("/joblocks")).Take(overview.Count), Is.EqualTo(overview));
        // What a viewer can do has a header for screen readers only there.
        Assert.That(HeadersOn(await site.GetAsync($"/joblocks/names/{stage.Key}")).Take(name.Count), Is.EqualTo(name.Select(static text => text is "" ? "What can be done" : text)));
        Assert.That((overview.Count, name.Count), Is.EqualTo((10, 13)));
    }

    [Test, CancelAfter(60_000)]
    public async Task Says_which_runs_no_process_serves_and_what_to_do(CancellationToken stop)
    {
        var stage = NewStage();
        await HoldAndWaitAsync(stage, stop);
        await Servers.Locks.RunAsync("INSERT INTO joblocks.wait_queue (key, name, mode, slots, store, run, queue, parked) SELECT key, name, 0, 1, 'Hangfire retired', '1', 'default', true FROM joblocks.wait_queue WHERE name = $1", stage.LockName);
        await using var site = await DashboardSite.StartAsync(Servers[0].Storage);

        var locks = await site.GetAsync("/hangfire/joblocks");
        var name = await site.GetAsync($"/hangfire/joblocks/names/{stage.Key}");
        await Servers.Locks.RunAsync("DELETE FROM joblocks.wait_queue WHERE store = 'Hangfire retired'");

        using (Assert.EnterMultipleScope())
        {
            Assert.That(locks, Does.Contain("<strong>1 not served</strong>").And.Contain("Start one"));
            Assert.That(name.Split("not served</strong>"), Has.Length.EqualTo(2));
            Assert.That(name, Does.Contain("No running scheduler or Hangfire server serves the job store"));
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Says_on_the_page_of_a_job_why_it_waits(CancellationToken stop)
    {
        var stage = NewStage();
        var (held, waiting) = await HoldAndWaitAsync(stage, stop);
        await using var site = await DashboardSite.StartAsync(Servers[0].Storage);

        var page = await site.GetAsync($"/hangfire/jobs/details/{waiting}");
        var sentence = await site.GetAsync($"/hangfire/joblocks/runs/{waiting}");

        using (Assert.EnterMultipleScope())
        {
            Assert.That(sentence, Does.StartWith($"waiting for {stage.LockName}, held by Hangfire job {held} of server-0 (backend ").And.Contain(", position 1 of 1"));
            Assert.That(page, Does.Contain("js-joblocks").And.Contain($"waiting for {stage.LockName}, held by Hangfire job {held}"));
            Assert.That(await site.GetAsync("/hangfire/joblocks/runs/unknown"), Is.Empty);
        }

        stage.LetLeave();
        await Servers.States.NextAsync<SucceededState>(waiting, stop);
        while ((await site.GetAsync($"/hangfire/joblocks/runs/{waiting}")).Length > 0) stop.ThrowIfCancellationRequested();
    }

    [Test, CancelAfter(60_000)]
    public async Task Stops_a_run_whose_release_is_requested_and_says_so_in_its_state(CancellationToken stop)
    {
        var stage = NewStage();
        var id = Servers.EnqueueFor<StoppableJob>(Servers[0], job => job.Run(stage.Id, CancellationToken.None));
        await stage.EnteredAsync(stop);
        await using var site = await DashboardSite.StartAsync(Servers[0].Storage);

        var posted = await site.PostAsync($"/hangfire/joblocks/names/{stage.Key}/release/{stage.Key}", stop);
        var failed = await Servers.States.NextAsync<FailedState>(id, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(posted, Is.EqualTo(204));
            Assert.That(failed.Reason, Does.StartWith($"The lock {stage.LockName} is given up, since a user at 127.0.0.1 (database role ").And.Contain(") asked for it."));
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Stops_a_run_whichever_of_its_locks_is_requested([Values("sync", "also")] string name, CancellationToken stop)
    {
        var stage = NewStage();
        var id = Servers.EnqueueFor<StoppableJob>(Servers[0], job => job.RunUnderBoth(stage.Id, CancellationToken.None));
        await stage.EnteredAsync(stop);

        var answer = await Servers[1].Locks!.Inspector.RequestReleaseAsync(LockKey.Of($"{name}({stage.Id})"), "Ann", TimeSpan.FromSeconds(30), stop);
        var failed = await Servers.States.NextAsync<FailedState>(id, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(answer, Is.EqualTo(ReleaseAnswer.Released));
            Assert.That(failed.Reason, Does.Contain("Ann (database role "));
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Names_who_holds_an_internal_lock_of_JobLocks(CancellationToken stop)
    {
        var stage = NewStage();
        await using var held = await Servers[0].Locks!.TryAcquireAsync(stage.LockName, stop);
        await using var site = await DashboardSite.StartAsync(Servers[0].Storage);
        await using var script = new NpgsqlConnection(Servers.Database + ";Pooling=false");
        await script.OpenAsync(stop);
        await using var take = new NpgsqlCommand("SELECT pg_advisory_lock(1246521710, 4)", script);
        await take.ExecuteNonQueryAsync(stop);

        string page;
        while (!(page = await site.GetAsync("/hangfire/joblocks")).Contains("needs for its own work", StringComparison.Ordinal)) stop.ThrowIfCancellationRequested();

        Assert.That(page, Does.Contain($"SELECT pg_terminate_backend({script.ProcessID})"));
    }

    [Test, CancelAfter(60_000)]
    public async Task Lets_those_do_nothing_who_may_only_look_or_not_even_that(CancellationToken stop)
    {
        var stage = NewStage();
        await HoldAndWaitAsync(stage, stop);
        await using var allowed = await DashboardSite.StartAsync(Servers[0].Storage);
        await using var readOnly = await DashboardSite.StartAsync(Servers[0].Storage, isReadOnly: true);
        await using var foreign = await DashboardSite.StartAsync(Servers[0].Storage, isAllowed: false);
        var release = $"/hangfire/joblocks/names/{stage.Key}/release/{stage.Key}";

        using (Assert.EnterMultipleScope())
        {
            Assert.That(await readOnly.GetAsync($"/hangfire/joblocks/names/{stage.Key}"), Does.Not.Contain("Request release"));
            Assert.That(await readOnly.PostAsync(release, stop), Is.EqualTo(401));
            Assert.That(await foreign.PostAsync(release, stop), Is.EqualTo(401));
            foreach (var path in new[] { "/hangfire/joblocks", $"/hangfire/joblocks/names/{stage.Key}", "/hangfire/joblocks/runs/1" })
                Assert.That((int)(await foreign.Client.GetAsync(new Uri(path, UriKind.Relative), stop)).StatusCode, Is.EqualTo(401), path);
            Assert.That((int)(await allowed.Client.GetAsync(new Uri(release, UriKind.Relative), stop)).StatusCode, Is.EqualTo(405));
            Assert.That(stage.Entries.Entries[0].Handle!.Lost.IsCancellationRequested, Is.False);
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Leads_to_no_job_of_this_storage_from_one_of_another_with_the_same_id(CancellationToken stop)
    {
        var stage = NewStage();
        var (held, waiting) = await HoldAndWaitAsync(stage, stop);
        var key = LockKey.Of($"other {stage.LockName}");
        await using var other = AdvisoryLocks.Connect(Servers.Database, static options => options.ApplicationName = "other");
        var taken = await ((ILockBackend)other).TryAcquireAllAsync([new("other", key)], new() { Run = $"Hangfire job {held}", Store = "Hangfire other" }, entry: null, blocks: false, stop);
        await Servers.Locks.WrittenDownAsync(key, stop);
        await using var site = await DashboardSite.StartAsync(Servers[0].Storage);

        var ofOther = await site.GetAsync($"/hangfire/joblocks/names/{key}");
        var ours = await site.GetAsync($"/hangfire/joblocks/names/{stage.Key}");
        taken.Handles[0].Dispose();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(ofOther, Does.Contain($"Hangfire job {held} of other").And.Not.Contain("/jobs/details/"));
            Assert.That(ours, Does.Contain($"/hangfire/jobs/details/{held}\"").And.Contain($"/hangfire/jobs/details/{waiting}\""));
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Asks_for_no_lock_of_another_name_than_that_in_the_address(CancellationToken stop)
    {
        var stage = NewStage();
        await HoldAndWaitAsync(stage, stop);
        await using var site = await DashboardSite.StartAsync(Servers[0].Storage);

        var posted = await site.PostAsync($"/hangfire/joblocks/names/5/release/{stage.Key}", stop);
        var key = stage.Key.ToString();
        foreach (var spelling in new[] { $"names/{(key.StartsWith('-') ? $"-0{key[1..]}" : $"0{key}")}/release/{key}", $"names/{key}/release/{key}/", $"Names/{key}/release/{key}" })
            Assert.That(await site.PostAsync($"/hangfire/joblocks/{spelling}", stop), Is.EqualTo(422), spelling);

        Assert.That(posted, Is.EqualTo(422));
        Assert.That(stage.Entries.Entries[0].Handle!.Lost.IsCancellationRequested, Is.False);
    }

    [Test, CancelAfter(60_000)]
    public async Task Shows_what_hides_in_a_name(CancellationToken stop)
    {
        const string Name = "tags\U000E0041\U000E007F, selector\uFE0F, filler\u3164, space\u00A0";
        await using var other = AdvisoryLocks.Connect(Servers.Database, static options => options.ApplicationName = "other");
        var taken = await ((ILockBackend)other).TryAcquireAllAsync([new(Name, LockKey.Of(Name))], new() { Run = $"Hangfire job {Name}" }, entry: null, blocks: false, stop);
        await Servers.Locks.WrittenDownAsync(LockKey.Of(Name), stop);
        await using var site = await DashboardSite.StartAsync(Servers[0].Storage);

        foreach (var path in new[] { "/hangfire/joblocks", $"/hangfire/joblocks/names/{LockKey.Of(Name)}" })
        {
            var page = await site.GetAsync(path);
            Assert.That(page, Does.Contain("tags&lt;U&#x2B;E0041&gt;&lt;U&#x2B;E007F&gt;, selector&lt;U&#x2B;FE0F&gt;, filler&lt;U&#x2B;3164&gt;, space&lt;U&#x2B;00A0&gt;"), path);
            Assert.That(Invisible.Where(hidden => page.Contains(hidden, StringComparison.Ordinal)), Is.Empty, path);
        }

        taken.Handles[0].Dispose();
    }

    [TestCase(true, 403)]
    [TestCase(false, 422)]
    [CancelAfter(60_000)]
    public async Task Does_nothing_for_another_site_that_has_no_token_of_the_page(bool hasAntiforgery, int expected, CancellationToken stop)
    {
        var stage = NewStage();
        await HoldAndWaitAsync(stage, stop);
        await using var site = await DashboardSite.StartAsync(Servers[0].Storage, hasAntiforgery: hasAntiforgery);

        var forged = await site.ForgeAsync($"/hangfire/joblocks/names/{stage.Key}/release/{stage.Key}", stop);
        var page = await site.GetAsync($"/hangfire/joblocks/names/{stage.Key}");

        using (Assert.EnterMultipleScope())
        {
            Assert.That(forged, Is.EqualTo(expected));
            Assert.That(page.Contains("Request release", StringComparison.Ordinal), Is.EqualTo(hasAntiforgery), "a button that does nothing is not shown");
            Assert.That(stage.Entries.Entries[0].Handle!.Lost.IsCancellationRequested, Is.False);
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Breaks_no_page_where_the_locks_cannot_be_asked_for(CancellationToken stop)
    {
        var process = Servers.Add(new() { LockDatabase = new NpgsqlConnectionStringBuilder(Servers.Database) { Database = "nowhere" }.ConnectionString });
        var id = process.Client.Schedule<WaitingJob>(job => job.Run(""), TimeSpan.FromDays(1));
        await using var site = await DashboardSite.StartAsync(process.Storage);

        foreach (var path in new[] { "/hangfire/", "/hangfire/jobs/enqueued", "/hangfire/recurring", $"/hangfire/jobs/details/{id}" }) await site.GetAsync(path);
        foreach (var path in new[] { "/hangfire/joblocks", "/hangfire/joblocks/names/1", $"/hangfire/joblocks/runs/{id}" })
            Assert.That(await site.GetAsync(path), Does.Contain("cannot be asked for").And.Contain("Correct the database"), path);
    }

    private static List<string> HeadersOn(string page) => [.. Header().Matches(page).Select(static header => Tag().Replace(header.Groups["text"].Value, ""))];

    [GeneratedRegex("<th( [^>]*)?>(?<text>.*?)</th>", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex Header();

    [GeneratedRegex("<[^>]+>", RegexOptions.None, matchTimeoutMilliseconds: 1000)]
    private static partial Regex Tag();
}
