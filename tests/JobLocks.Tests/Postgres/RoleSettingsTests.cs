using System.Globalization;
using JobLocks.Tests.Support;
using Npgsql;

namespace JobLocks.Tests.Postgres;

/// <summary>Settings that a role carries and that would break a statement of ours: each connection overrides them before its first question.</summary>
[TestFixture, CancelAfter(120_000)]
public sealed class RoleSettingsTests
{
    private readonly string _role = $"joblocks_{Guid.NewGuid():N}";
    private string _database = "";
    private string? _group;

    [SetUp]
    public async Task CreateRole()
    {
        _database = await AssemblySetup.Server.CreateDatabaseAsync("rolesettings");
        await LockTable.AskAsync(_database, $"CREATE ROLE {_role} LOGIN PASSWORD 'secret'; GRANT ALL ON DATABASE {Quoted} TO {_role}");
    }

    [TearDown]
    public async Task DropRoles()
    {
        foreach (var role in (string?[])[_role, _group])
        {
            if (role is not null) await LockTable.AskAsync(_database, $"DROP OWNED BY {role}; DROP ROLE {role}");
        }

        _group = null;
    }

    [TestCase("statement_timeout = '1ms'")]
    [TestCase("statement_timeout = '20ms'")]
    [TestCase("lock_timeout = '1ms'")]
    [TestCase("idle_in_transaction_session_timeout = '1ms'")]
    [TestCase("idle_session_timeout = '500ms'")]
    [TestCase("idle_session_timeout = '1ms'")]
    [TestCase("transaction_timeout = '1ms'")]
    [TestCase("transaction_timeout = '1ms'; ALTER ROLE {0} SET idle_session_timeout = '1ms'")]
    [TestCase("default_transaction_read_only = on")]
    [TestCase("default_transaction_isolation = serializable")]
    [TestCase("search_path = ''")]
    [TestCase("DateStyle = 'German'")]
    [TestCase("IntervalStyle = 'sql_standard'")]
    [TestCase("bytea_output = 'escape'")]
    [TestCase("standard_conforming_strings = off")]
    [TestCase("client_encoding = 'LATIN1'")]
    [TestCase("TimeZone = 'Asia/Kathmandu'")]
    [TestCase("extra_float_digits = -15")]
    [TestCase("quote_all_identifiers = on")]
    [TestCase("array_nulls = off")]
    [TestCase("transform_null_equals = on")]
    [TestCase("synchronous_commit = remote_apply")]
    public async Task Break_nothing(string setting, CancellationToken stop)
    {
        if (await LockTable.AskAsync(_database, "SELECT count(*) FROM pg_settings WHERE lower(name) = lower($1)", setting.Split(' ')[0]) is 0L) Assert.Ignore($"This server has no {setting}.");
        await LockTable.AskAsync(_database, $"ALTER ROLE {_role} SET {string.Format(CultureInfo.InvariantCulture, setting, _role)}");

        await EveryKindOfWork.DoAsync(Login, stop);
    }

    /// <summary>It changes how the server writes the name of a function.</summary>
    [Test]
    public async Task Make_the_function_of_keys_where_all_identifiers_are_quoted(CancellationToken stop)
    {
        await LockTable.AskAsync(_database, $"CREATE EXTENSION pgcrypto SCHEMA public; GRANT USAGE ON SCHEMA public TO PUBLIC; ALTER ROLE {_role} SET quote_all_identifiers = on");

        await using (var locks = AdvisoryLocks.Connect(Login)) await locks.EnsureSessionAsync(stop);

        Assert.That(await LockTable.AskAsync(Login, "SELECT joblocks.key('sync(4)')"), Is.EqualTo(LockKey.Of("sync(4)").Value));
    }

    /// <summary>A <c>role</c> is not overridden: it is how an operator gives a login the rights of a group.</summary>
    [Test]
    public async Task Break_nothing_where_the_role_begins_as_another_one(CancellationToken stop)
    {
        var group = await BeginAsGroupAsync();
        await LockTable.AskAsync(_database, $"GRANT ALL ON DATABASE {Quoted} TO {group}; GRANT pg_signal_backend TO {group}");

        await EveryKindOfWork.DoAsync(Login, stop);

        Assert.That(await LockTable.AskAsync(_database, "SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'joblocks'"), Is.EqualTo(group));
    }

    [Test]
    public async Task Name_the_other_role_where_it_begins_as_one_that_may_not_make_the_schema(CancellationToken stop)
    {
        var group = await BeginAsGroupAsync();
        await using (var locks = AdvisoryLocks.Connect(Login))
        {
            var refused = await Assert.ThrowsAsync<JobLocksUnavailableException>(() => locks.TryAcquireAsync("refused", stop));

            Assert.That(refused!.Message, Does.Contain(group));
        }
    }

    private string Quoted => new NpgsqlCommandBuilder().QuoteIdentifier(new NpgsqlConnectionStringBuilder(_database).Database!);

    private string Login => new NpgsqlConnectionStringBuilder(_database) { Username = _role, Password = "secret" }.ConnectionString;

    private async Task<string> BeginAsGroupAsync()
    {
        var group = $"group_{Guid.NewGuid():N}";
        await LockTable.AskAsync(_database, $"CREATE ROLE {group}; GRANT {group} TO {_role}; ALTER ROLE {_role} SET role = {group}");
        return _group = group;
    }
}
