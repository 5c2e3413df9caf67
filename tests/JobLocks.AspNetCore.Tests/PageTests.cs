using System.Net;
using JobLocks.Testing.Postgres;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;

namespace JobLocks.AspNetCore.Tests;

/// <summary>What a person sees on the page, and may do there.</summary>
[TestFixture, CancelAfter(60_000)]
public sealed class PageTests
{
    private const string Name = "order:42";

    private static readonly string[] Poisons = ["<script>alert", "\" onmouseover", "<img", "\u202E", "\u2066", "\u200F", "\0", "\U000E0041", "&#xE0041;", "&#xE007F;", "\uFE0F", "\u3164", "\u00A0"];

    private static readonly string NamePage = $"/joblocks/names/{LockKey.Of(Name)}";

    [Test]
    public async Task Says_the_cure_where_the_role_may_not_connect(CancellationToken stop)
    {
        var role = $"outside_{Guid.NewGuid():N}";
        // A superuser until the application has started: it may connect and set up the schema.
        await DatabaseState.ReadAsync(AssemblySetup.Server.ConnectionString, $"CREATE ROLE {role} LOGIN SUPERUSER PASSWORD 'secret'");
        await using var site = await Site.StartAsync(settings: $";Username={role};Password=secret");
        await site.AskAsync($"ALTER ROLE {role} NOSUPERUSER; DO $$BEGIN EXECUTE format('REVOKE CONNECT ON DATABASE %I FROM PUBLIC', current_database()); END$$");

        foreach (var path in new[] { "/joblocks", "/joblocks/api/v1/held" })
        {
            using var answer = await site.Client.GetAsync(new Uri(path, UriKind.Relative), stop);
            var text = WebUtility.HtmlDecode(await answer.Content.ReadAsStringAsync(stop));

            using (Assert.EnterMultipleScope())
            {
                Assert.That(answer.StatusCode, Is.EqualTo(HttpStatusCode.ServiceUnavailable), path);
                Assert.That(text, Does.Contain("GRANT CONNECT ON DATABASE").And.Contain(role), path);
                Assert.That(text, Does.Not.Contain("pg_signal_backend").And.Not.Contain("Check that the server runs"), path);
            }
        }

        await site.AskAsync($"REASSIGN OWNED BY {role} TO CURRENT_USER; DROP OWNED BY {role}; DROP ROLE {role}");
    }

    [Test]
    public async Task Shows_what_is_held_by_whom_and_who_waits(CancellationToken stop)
    {
        await using var site = await Site.StartAsync();
        using var held = await site.HoldAsync(Name);
        await site.ParkAsync(Name, "4711");
        await site.WrittenDownAsync(stop);

        var overview = await site.GetAsync("/joblocks");
        var name = await site.GetAsync(NamePage);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(overview, Does.Contain("<b>1</b> held").And.Contain("<b>1</b> waiting"));
            Assert.That(overview, Does.Contain("Hangfire job 1187 of billing on web-3 (pid 812)").And.Contain($"href=\"{NamePage}\""));
            Assert.That(name, Does.Contain("<h1><bdi>order:42</bdi></h1>").And.Contain("Hangfire 4711"));
            Assert.That(name, Does.Contain("Request release"));
        }
    }

    [Test]
    public async Task Says_which_runs_no_process_serves_and_what_to_do()
    {
        await using var site = await Site.StartAsync();
        await site.ParkAsync(Name, "4711");
        await site.AskAsync($"INSERT INTO joblocks.wait_queue (key, name, mode, slots, store, run, queue, parked) VALUES ({LockKey.Of(Name)}, '{Name}', 0, 1, 'Quartz retired', '1', '', true)");

        var overview = await site.GetAsync("/joblocks");
        var name = await site.GetAsync(NamePage);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(overview, Does.Contain("<strong>1 not served</strong>").And.Contain("Start one"));
            Assert.That(name.Split("not served</strong>"), Has.Length.EqualTo(2));
            Assert.That(name, Does.Contain("No running scheduler or Hangfire server serves the job store").And.Contain("Start one"));
            Assert.That(await site.GetAsync("/joblocks/api/v1/overview"), Does.Contain("\"unserved\":1"));
        }
    }

    [Test]
    public async Task Counts_and_marks_each_of_several_runs_of_a_process_that_share_a_lock(CancellationToken stop)
    {
        await using var site = await Site.StartAsync();
        using var first = await site.HoldAsync(Name, mode: LockMode.Shared);
        using var second = await site.HoldAsync(Name, "Hangfire job 1188", LockMode.Shared);
        while (!(await site.GetAsync("/joblocks")).Contains("Hangfire job 1188", StringComparison.Ordinal)) stop.ThrowIfCancellationRequested();

        foreach (var path in new[] { "/joblocks", NamePage })
        {
            var page = await site.GetAsync(path);
            var ids = page.Split(" id=\"").Skip(1).Select(static rest => rest[..rest.IndexOf('"', StringComparison.Ordinal)]).ToList();
            Assert.That(ids, Is.Unique, path);
            Assert.That(page, Does.Contain("Hangfire job 1187 of").And.Contain("Hangfire job 1188 of"), path);
        }

        Assert.That(await site.GetAsync("/joblocks"), Does.Contain("<b>2</b> held"));
    }

    [Test]
    public async Task Reads_the_lock_table_once_a_second_for_all_who_look(CancellationToken stop)
    {
        var looked = 0;
        await using var site = await Site.StartAsync(services: services => services.AddSingleton<IJobLockInspector>(
            found => new CountedInspector(found.GetRequiredService<IJobLocks>() is AdvisoryLocks locks ? locks.Inspector : throw new InvalidOperationException(), () => Interlocked.Increment(ref looked))));
        var since = Environment.TickCount64;

        await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => site.GetAsync("/joblocks")));

        // However slow this machine is.
        Assert.That(looked, Is.InRange(1, 1 + ((Environment.TickCount64 - since) / 1000)));
    }

    [Test]
    public async Task Tells_the_last_hour_in_a_table_as_well(CancellationToken stop)
    {
        await using var site = await Site.StartAsync();
        using (await site.HoldAsync(Name)) await site.WrittenDownAsync(stop);

        string page;
        while (!(page = await site.GetAsync(NamePage)).Contains("id=\"hour-table\"", StringComparison.Ordinal)) stop.ThrowIfCancellationRequested();

        Assert.That(page, Does.Match("<td data-label=\"Minute\"><time datetime=.*</time></td><td data-label=\"Runs\">1</td><td data-label=\"Held each\">[0-9.]+ s</td>"));
    }

    [Test]
    public async Task Names_who_holds_an_internal_lock_of_JobLocks(CancellationToken stop)
    {
        await using var site = await Site.StartAsync();
        using var held = await site.HoldAsync(Name);
        await using var script = await site.OpenAsync(stop);
        await using var take = new NpgsqlCommand("SELECT pg_advisory_lock(1246521710, 4)", script);
        await take.ExecuteNonQueryAsync(stop);

        string page;
        while (!(page = await site.GetAsync("/joblocks")).Contains("Internal locks held by others", StringComparison.Ordinal)) stop.ThrowIfCancellationRequested();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(page, Does.Contain($"SELECT pg_terminate_backend({script.ProcessID})"));
            Assert.That(await site.GetAsync("/joblocks/api/v1/overview"), Does.Contain("\"internalLockHolders\":[{\"class\":1246521710,\"number\":4,").And.Contain($"\"remedy\":\"SELECT pg_terminate_backend({script.ProcessID})\""));
        }
    }

    [Test]
    public async Task Says_of_each_process_what_is_known_of_it(CancellationToken stop)
    {
        await using var site = await Site.StartAsync();
        using var held = await site.HoldAsync(Name);
        await using var script = await site.OpenAsync(stop);
        await using var take = new NpgsqlCommand("SELECT pg_advisory_lock(77)", script);
        await take.ExecuteNonQueryAsync(stop);
        await site.WrittenDownAsync(stop);

        var page = await site.GetAsync("/joblocks");

        Assert.That(page, Does.Contain("<td data-label=\"Session\">connected, JobLocks</td>").And.Contain("<td data-label=\"Session\">connected, not JobLocks</td>"));
    }

    [Test]
    public async Task Says_what_will_appear_where_there_is_nothing()
    {
        await using var site = await Site.StartAsync();

        var overview = await site.GetAsync("/joblocks/");
        var name = await site.GetAsync("/joblocks/names/-5");

        using (Assert.EnterMultipleScope())
        {
            Assert.That(overview, Does.Contain("No run waits.").And.Contain("No lock is held."));
            Assert.That(name, Does.Contain("key -5").And.Contain("The lock is free.").And.Contain("No run waits for it.").And.Contain("No events in the last hour."));
        }
    }

    [Test]
    public async Task Says_of_a_part_of_a_list_that_has_become_empty_how_many_there_are(CancellationToken stop)
    {
        await using var site = await Site.StartAsync();
        using var held = await site.HoldAsync(Name);
        await site.ParkAsync(Name, "4711");
        await site.WrittenDownAsync(stop);

        var overview = await site.GetAsync("/joblocks?held=300&waiting=100");
        var name = await site.GetAsync($"{NamePage}?skip=200");

        using (Assert.EnterMultipleScope())
        {
            Assert.That(overview, Does.Not.Contain("No lock is held.").And.Not.Contain("No run waits."));
            Assert.That(overview, Does.Contain("href=\"/joblocks/?held=0\">Before</a> none of 1").And.Contain("href=\"/joblocks/?waiting=0\">Before</a> none of 1"));
            Assert.That(name, Does.Not.Contain("No run waits for it.").And.Contain($"href=\"{NamePage}?skip=0\">Before</a> none of 1"));
        }
    }

    [Test]
    public async Task Finds_a_name_and_goes_to_the_only_one(CancellationToken stop)
    {
        await using var site = await Site.StartAsync();
        using (await site.HoldAsync(Name)) await site.WrittenDownAsync(stop);
        while (await site.AskAsync("SELECT count(*) FROM joblocks.names") is 0L) stop.ThrowIfCancellationRequested();

        var found = await site.Client.GetAsync(new Uri("/joblocks/search?q=rder:4", UriKind.Relative), stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(found.Headers.Location?.ToString(), Is.EqualTo(NamePage));
            Assert.That(await site.GetAsync("/joblocks/search?q=nothing-like-it"), Does.Contain("Nothing found for <bdi>nothing-like-it</bdi>"));
        }
    }

    [Test]
    public async Task Says_why_a_run_waits_that_was_looked_for(CancellationToken stop)
    {
        await using var site = await Site.StartAsync();
        using var held = await site.HoldAsync(Name);
        await site.ParkAsync(Name, "4711");
        await site.WrittenDownAsync(stop);

        var found = await site.Client.GetAsync(new Uri("/joblocks/search?q=4711", UriKind.Relative), stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(found.Headers.Location?.ToString(), Is.EqualTo($"{NamePage}?run=4711"));
            Assert.That(await site.GetAsync($"{NamePage}?run=4711"), Does.Contain("waiting for order:42, held by Hangfire job 1187 of billing on web-3 (pid 812) since "));
            Assert.That(await site.GetAsync($"{NamePage}?run=4712"), Does.Contain("4712 neither waits for a lock nor is known to hold one."));
        }
    }

    [Test]
    public async Task Requests_the_release_and_shows_the_result(CancellationToken stop)
    {
        await using var site = await Site.StartAsync(static page => page.RequireAuthorization());
        site.Client.DefaultRequestHeaders.Add(HeaderAuthentication.Header, "alice");
        var held = await site.HoldAsync(Name);
        held.Lost.UnsafeRegister(static handle => ((JobLockHandle)handle!).Dispose(), held);
        var page = await site.GetAsync(NamePage);

        var answer = await site.Client.PostAsync(new Uri($"{NamePage}/release", UriKind.Relative), Site.FormOn(page), stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(answer.Headers.Location?.ToString(), Is.EqualTo(NamePage));
            Assert.That(held.LostReason, Does.Contain("alice (database role "));
            Assert.That(await site.GetAsync(NamePage), Does.Contain("It was released."));
            Assert.That(await site.GetAsync(NamePage), Does.Not.Contain("It was released."), "it is said once");
        }
    }

    [Test]
    public async Task Accepts_no_request_without_the_token_of_the_page(CancellationToken stop)
    {
        await using var site = await Site.StartAsync();
        using var held = await site.HoldAsync(Name);
        await site.WrittenDownAsync(stop);

        var posted = await site.Client.PostAsync(new Uri($"{NamePage}/release", UriKind.Relative), new FormUrlEncodedContent([KeyValuePair.Create("key", LockKey.Of(Name).ToString())]), stop);
        var got = await site.Client.GetAsync(new Uri($"{NamePage}/release", UriKind.Relative), stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(posted.StatusCode, Is.EqualTo(HttpStatusCode.BadRequest));
            Assert.That(got.StatusCode, Is.EqualTo(HttpStatusCode.MethodNotAllowed));
            Assert.That(await site.AskAsync("SELECT count(*) FROM joblocks.holders WHERE release_requested_by IS NOT NULL"), Is.Zero);
        }
    }

    [Test]
    public async Task Shows_no_button_to_who_may_only_look_and_refuses_the_act(CancellationToken stop)
    {
        await using var site = await Site.StartAsync(options: static options => options.IsReadOnly = static _ => true);
        using var held = await site.HoldAsync(Name);
        await site.WrittenDownAsync(stop);

        var page = await site.GetAsync(NamePage);
        var posted = await site.Client.PostAsync(new Uri($"{NamePage}/release", UriKind.Relative), content: null, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(page, Does.Not.Contain("Request release"));
            Assert.That(posted.StatusCode, Is.EqualTo(HttpStatusCode.Forbidden));
            Assert.That(await site.AskAsync("SELECT count(*) FROM joblocks.holders WHERE release_requested_by IS NOT NULL"), Is.Zero);
        }
    }

    [Test]
    public async Task Only_shows_where_the_application_has_no_antiforgery(CancellationToken stop)
    {
        await using var site = await Site.StartAsync(hasAntiforgery: false);
        using var held = await site.HoldAsync(Name);
        await site.WrittenDownAsync(stop);

        Assert.That(await site.GetAsync(NamePage), Does.Not.Contain("Request release"));
        Assert.That((await site.Client.PostAsync(new Uri($"{NamePage}/release", UriKind.Relative), content: null, stop)).StatusCode, Is.EqualTo(HttpStatusCode.Forbidden));
    }

    [TestCase("<script>alert(1)</script>")]
    [TestCase("\" onmouseover=\"alert(1)")]
    [TestCase("'><img src=x onerror=alert(1)>")]
    [TestCase("line\r\nbreak\tand\0nul")]
    [TestCase("right\u202Eto\u2066left\u200F")]
    [TestCase("tags\U000E0041\U000E007F, selector\uFE0F, filler\u3164, space\u00A0")]
    public async Task Executes_nothing_of_a_hostile_name(string hostile, CancellationToken stop)
    {
        await using var site = await Site.StartAsync();
        using var held = await site.HoldAsync(hostile, run: $"Hangfire job {hostile}");
        await site.ParkAsync(hostile, hostile.Replace('\0', 'x'));
        await site.WrittenDownAsync(stop);

        foreach (var path in new[] { "/joblocks", $"/joblocks/names/{LockKey.Of(hostile)}", $"/joblocks/search?q={Uri.EscapeDataString(hostile + "?")}" })
        {
            var page = await site.GetAsync(path);
            Assert.That(Poisons.Where(poison => page.Contains(poison, StringComparison.Ordinal)), Is.Empty, path);
        }
    }

    [Test]
    public async Task Shortens_a_long_name_and_shows_more_of_it_on_hover(CancellationToken stop)
    {
        var name = new string('x', 10_000);
        await using var site = await Site.StartAsync();
        using var held = await site.HoldAsync(name);
        await site.WrittenDownAsync(stop);

        var page = await site.GetAsync("/joblocks");

        Assert.That(page, Does.Contain($"<bdi>{new string('x', 79)}…</bdi>"));
        Assert.That(page.Length, Is.LessThan(50_000));
    }

    [Test]
    public async Task Allows_nothing_from_outside_and_nothing_inline()
    {
        await using var site = await Site.StartAsync();

        var answer = await site.Client.GetAsync(new Uri("/joblocks", UriKind.Relative));
        var page = await answer.Content.ReadAsStringAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(answer.Headers.GetValues("Content-Security-Policy").Single(), Does.Contain("default-src 'none'").And.Not.Contain("unsafe"));
            Assert.That(page, Does.Not.Contain(" style=").And.Not.Contain("<style").And.Not.Contain("http://").And.Not.Contain("https://"));
            Assert.That(await site.GetAsync("/joblocks/page.css"), Does.Contain("prefers-color-scheme: dark"));
            Assert.That(await site.GetAsync("/joblocks/page.js"), Does.Contain("visibilityState"));
        }
    }

    [TestCase("/ops/locks/")]
    [TestCase("/{tenant}/locks")]
    public async Task Finds_its_way_wherever_it_is_mapped(string pattern, CancellationToken stop)
    {
        await using var site = await Site.StartAsync(pattern: pattern);
        using var held = await site.HoldAsync(Name);
        await site.WrittenDownAsync(stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(await site.GetAsync("/ops/locks"), Does.Contain($"href=\"/ops/locks/names/{LockKey.Of(Name)}\"").And.Contain("href=\"/ops/locks/page.css\""));
            Assert.That(await site.GetAsync($"/ops/locks/names/{LockKey.Of(Name)}"), Does.Contain("href=\"/ops/locks/\"").And.Contain($"action=\"/ops/locks/names/{LockKey.Of(Name)}/release\""));
        }
    }
}
