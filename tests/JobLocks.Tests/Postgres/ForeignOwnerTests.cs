using JobLocks.Testing.Postgres;
using JobLocks.Tests.Support;
using Npgsql;

namespace JobLocks.Tests.Postgres;

/// <summary>A role that has made the schema, or a part of it, before we do: it is named with the cure, and nothing of it runs.</summary>
[TestFixture, CancelAfter(60_000)]
public sealed class ForeignOwnerTests
{
    private const string TheirSchema =
        """
        CREATE SCHEMA joblocks;
        CREATE FUNCTION joblocks.format(text, text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'theirs was run'; END $$;
        CREATE FUNCTION joblocks.theirs() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'theirs was run'; END $$;
        CREATE TABLE joblocks.sessions (backend integer PRIMARY KEY, connected timestamptz NOT NULL, application text NOT NULL);
        CREATE TRIGGER theirs BEFORE INSERT ON joblocks.sessions FOR EACH ROW EXECUTE FUNCTION joblocks.theirs();
        GRANT ALL ON SCHEMA joblocks TO PUBLIC;
        """;

    private readonly string _stranger = $"stranger_{Guid.NewGuid():N}";
    private readonly string _worker = $"worker_{Guid.NewGuid():N}";
    private string _database = "";

    [SetUp]
    public async Task CreateRoles()
    {
        _database = await AssemblySetup.Server.CreateDatabaseAsync("foreignowner");
        var name = new NpgsqlCommandBuilder().QuoteIdentifier(new NpgsqlConnectionStringBuilder(_database).Database!);
        foreach (var role in new[] { _stranger, _worker }) await RunAsync($"CREATE ROLE {role} LOGIN PASSWORD 'secret'; GRANT ALL ON DATABASE {name} TO {role}");
    }

    [TearDown]
    public async Task DropRoles()
    {
        foreach (var role in new[] { _stranger, _worker }) await RunAsync($"DROP OWNED BY {role} CASCADE; DROP ROLE {role}");
    }

    [TestCase(true), TestCase(false)]
    public async Task Is_refused_by_name_before_anything_of_it_runs(bool isSuperuser, CancellationToken stop)
    {
        await RunAsync(TheirSchema, _stranger);
        await using var locks = AdvisoryLocks.Connect(isSuperuser ? _database : ConnectionOf(_worker));

        var error = await Assert.ThrowsAsync<JobLocksUnavailableException>(() => locks.TryAcquireAsync("refused", stop));

        using (Assert.EnterMultipleScope())
        {
            Assert.That(error!.Message, Does.Contain($"the schema joblocks belongs to the role {_stranger}").And.Contain("Drop it").And.Not.Contain("OWNER TO").And.Contain($"SchemaOwner = \"{_stranger}\""));
            Assert.That(error.Message, Does.Not.Contain("theirs was run"));
            Assert.That(error.NeedsChange, Is.True);
            await Assert.ThatAsync(() => locks.Inspector.GetHeldAsync(stop: stop), Throws.TypeOf<JobLocksUnavailableException>().With.Message.Contains(_stranger));
        }
    }

    [Test]
    public async Task Is_refused_by_the_script_before_anything_of_it_runs()
    {
        await RunAsync(TheirSchema, _stranger);

        Assert.That(async () => await RunAsync(DocsTests.Read("schema.sql")), Throws.TypeOf<PostgresException>().With.Message.Contains($"the schema joblocks belongs to the role {_stranger}"));
    }

    [Test]
    public async Task Is_used_where_the_options_name_it(CancellationToken stop)
    {
        await RunAsync(DocsTests.Read("schema.sql"), _stranger);
        await RunAsync($"GRANT USAGE ON SCHEMA joblocks TO {_worker}; GRANT ALL ON ALL TABLES IN SCHEMA joblocks TO {_worker}; GRANT ALL ON ALL SEQUENCES IN SCHEMA joblocks TO {_worker}", _stranger);
        await using var locks = AdvisoryLocks.Connect(ConnectionOf(_worker), options => options.SchemaOwner = _stranger);

        await using var handle = await locks.TryAcquireAsync("named", stop);

        Assert.That(handle!.FencingToken, Is.Positive);
    }

    [Test]
    public async Task Is_used_by_the_members_of_its_role(CancellationToken stop)
    {
        await RunAsync("CREATE SCHEMA joblocks; GRANT ALL ON SCHEMA joblocks TO PUBLIC", _stranger);
        await RunAsync($"GRANT {_stranger} TO {_worker}");
        await using var locks = AdvisoryLocks.Connect(ConnectionOf(_worker));

        await using var handle = await locks.TryAcquireAsync("member", stop);

        Assert.That(handle!.FencingToken, Is.Positive);
    }

    [Test]
    public async Task Does_not_become_trusted_by_granting_itself(CancellationToken stop)
    {
        await RunAsync(TheirSchema, _stranger);
        try
        {
            await RunAsync($"GRANT {_stranger} TO {_worker}", _stranger);
        }
        catch (PostgresException refused) when (refused.SqlState is PostgresErrorCodes.InsufficientPrivilege)
        {
            Assert.Ignore("From version 15 on, no role may grant itself.");
        }

        await using var locks = AdvisoryLocks.Connect(ConnectionOf(_worker));

        Assert.That(() => locks.TryAcquireAsync("granted itself", stop), Throws.TypeOf<JobLocksUnavailableException>().With.Message.Contains(_stranger));
    }

    [TestCase("table", "joblocks.declared_limits"), TestCase("table", "joblocks.wait_queue"), TestCase("table", "joblocks.sessions")]
    [TestCase("table", "joblocks.holders"), TestCase("table", "joblocks.names"), TestCase("table", "joblocks.minutes")]
    [TestCase("table", "joblocks.recent_runs"), TestCase("table", "joblocks.samples")]
    [TestCase("sequence", "joblocks.fence"), TestCase("sequence", "joblocks.entry_numbers")]
    [TestCase("function", "joblocks.note_release_request()"), TestCase("function", "joblocks.key(text)")]
    public async Task Is_named_with_its_table_sequence_or_function_of_ours(string kind, string what, CancellationToken stop)
    {
        await RunAsync(DocsTests.Read("schema.sql"));
        await RunAsync($"GRANT USAGE, CREATE ON SCHEMA joblocks TO {_stranger}; ALTER {kind} {what} OWNER TO {_stranger}");
        await using var locks = AdvisoryLocks.Connect(ConnectionOf(_worker));

        var error = await Assert.ThrowsAsync<JobLocksUnavailableException>(() => locks.TryAcquireAsync("refused", stop));
        await RunAsync($"ALTER {kind} {what} OWNER TO CURRENT_USER");

        using (Assert.EnterMultipleScope())
        {
            Assert.That(error!.Message, Does.Contain($"the {kind} {what} belongs to the role {_stranger}").And.Contain("Drop it").And.Not.Contain("OWNER TO"));
            Assert.That(error.Message, Does.Contain($"SchemaOwner = \"{_stranger}\""));
            Assert.That(error.NeedsChange, Is.True);
            Assert.That(await OwnersLookAsync(stop), Is.Null);
        }
    }

    [Test]
    public async Task Is_named_with_its_trigger_on_a_table_of_ours(CancellationToken stop)
    {
        await RunAsync(DocsTests.Read("schema.sql"));
        await RunAsync($"GRANT USAGE ON SCHEMA joblocks TO {_stranger}; GRANT TRIGGER ON joblocks.sessions TO {_stranger}; GRANT CREATE ON SCHEMA public TO {_stranger}");
        await RunAsync(
            """
            CREATE FUNCTION public.theirs() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'theirs was run'; END $$;
            CREATE TRIGGER "their trigger" BEFORE INSERT ON joblocks.sessions FOR EACH ROW EXECUTE FUNCTION public.theirs();
            """,
            _stranger);
        await using var locks = AdvisoryLocks.Connect(_database);

        var error = await Assert.ThrowsAsync<JobLocksUnavailableException>(() => locks.TryAcquireAsync("refused", stop));

        Assert.That(error!.Message, Does.Contain("the trigger \"their trigger\" of the table joblocks.sessions").And.Contain(_stranger).And.Contain("DROP TRIGGER \"their trigger\" ON joblocks.sessions"));
    }

    [Test]
    public async Task Is_refused_with_a_trigger_whose_condition_could_call_a_function_of_theirs(CancellationToken stop)
    {
        await RunAsync(DocsTests.Read("schema.sql"));
        await RunAsync($"GRANT USAGE ON SCHEMA joblocks TO {_stranger}; GRANT TRIGGER ON joblocks.wait_queue TO {_stranger}; GRANT CREATE ON SCHEMA public TO {_stranger}");
        await RunAsync(
            """
            CREATE FUNCTION public.theirs(text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'theirs was run'; END $$;
            CREATE TRIGGER "their trigger" BEFORE UPDATE ON joblocks.wait_queue FOR EACH ROW WHEN (public.theirs(NEW.name)) EXECUTE FUNCTION pg_catalog.suppress_redundant_updates_trigger();
            """,
            _stranger);
        await using var locks = AdvisoryLocks.Connect(_database);

        var error = await Assert.ThrowsAsync<JobLocksUnavailableException>(() => locks.TryAcquireAsync("refused", stop));

        Assert.That(error!.Message, Does.Contain("the trigger \"their trigger\" of the table joblocks.wait_queue, by its condition, could call any function").And.Contain("DROP TRIGGER \"their trigger\" ON joblocks.wait_queue"));
    }

    [Test]
    public async Task Is_named_by_a_process_that_only_looks_when_the_trigger_comes_later(CancellationToken stop)
    {
        await RunAsync(DocsTests.Read("schema.sql"));
        await RunAsync($"GRANT USAGE ON SCHEMA joblocks TO {_stranger}; GRANT TRIGGER ON joblocks.holders TO {_stranger}; GRANT CREATE ON SCHEMA public TO {_stranger}");
        await using var looking = AdvisoryLocks.Connect(_database, static options => options.PrepareSchema = false);
        await looking.Inspector.GetOverviewAsync(stop);
        await RunAsync(
            """
            CREATE FUNCTION public.theirs() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'theirs was run'; END $$;
            CREATE TRIGGER "their trigger" BEFORE UPDATE ON joblocks.holders FOR EACH ROW EXECUTE FUNCTION public.theirs();
            """,
            _stranger);

        JobLocksUnavailableException? error = null;
        while (error is null)
        {
            try
            {
                await looking.Inspector.GetOverviewAsync(stop);
            }
            catch (JobLocksUnavailableException refused)
            {
                error = refused;
            }
        }

        Assert.That(error.Message, Does.Contain("their trigger").And.Contain(_stranger));
    }

    [Test]
    public void No_text_of_ours_makes_a_function_with_the_rights_of_its_owner() => Assert.That(
        SqlWords.TextsOf(typeof(JobLocksOptions).Assembly).Append(DocsTests.Read("schema.sql")).Append(DocsTests.Read("grants.sql")),
        Has.None.Contains("SECURITY DEFINER").IgnoreCase);

    [Test]
    public async Task No_function_of_ours_has_the_rights_of_its_owner_and_each_in_the_schema_has_its_own_path(CancellationToken stop)
    {
        await using var locks = AdvisoryLocks.Connect(_database);
        await using var handle = await locks.TryAcquireAsync("functions", stop);

        using (Assert.EnterMultipleScope())
        {
            const string Functions = "SELECT count(*) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE (n.nspname = 'joblocks' OR p.proname LIKE 'joblocks%')";
            Assert.That(await RunAsync(Functions), Is.GreaterThanOrEqualTo(5));
            Assert.That(await RunAsync($"{Functions} AND p.prosecdef"), Is.Zero);
            Assert.That(await RunAsync($"{Functions} AND n.nspname = 'joblocks' AND NOT 'search_path=pg_catalog, pg_temp' = ANY (coalesce(p.proconfig, '{{}}'))"), Is.Zero);
        }
    }

    /// <summary>What a process of another role that looks is told.</summary>
    private async Task<Exception?> OwnersLookAsync(CancellationToken stop)
    {
        await using var locks = AdvisoryLocks.Connect(_database, static options => options.PrepareSchema = false);
        try
        {
            await locks.Inspector.GetHeldAsync(stop: stop);
            return null;
        }
        catch (JobLocksUnavailableException refused)
        {
            return refused;
        }
    }

    private string ConnectionOf(string role) => new NpgsqlConnectionStringBuilder(_database) { Username = role, Password = "secret" }.ConnectionString;

    private Task<object?> RunAsync(string sql, string? role = null) => LockTable.AskAsync(role is null ? _database : ConnectionOf(role), sql);
}
