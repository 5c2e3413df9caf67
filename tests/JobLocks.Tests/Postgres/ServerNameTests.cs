using JobLocks.Postgres.Session;

namespace JobLocks.Tests.Postgres;

[TestFixture]
public sealed class ServerNameTests
{
    [TestCase("db.example", "db.example:5433")]
    [TestCase("one:5432,two:5433", "one:5432,two:5433")]
    [TestCase("one, two:6000", "one:5433,two:6000")]
    [TestCase("[::1]:6000,[fe80::1]", "[::1]:6000,[fe80::1]:5433")]
    [TestCase("::1", "[::1]:5433")]
    [TestCase("10.0.0.7:1", "10.0.0.7:1")]
    [TestCase("/var/run/postgresql", "/var/run/postgresql/.s.PGSQL.5433")]
    [TestCase("/tmp/,one", "/tmp/.s.PGSQL.5433,one:5433")]
    [TestCase("@abstract", "@abstract/.s.PGSQL.5433")]
    public void Names_each_host_with_the_port_that_is_tried(string host, string expected) =>
        Assert.That(ServerName.Of(new() { Host = host, Port = 5433, Database = "app", Password = "secret" }), Is.EqualTo($"{expected}, database app"));

    [Test]
    public async Task Stands_in_the_error_of_several_hosts_that_cannot_be_reached()
    {
        await using var locks = AdvisoryLocks.Connect("Host=127.0.0.1:1,127.0.0.1:2;Username=nobody;Database=app;Password=secret");

        var error = await Assert.ThrowsAsync<JobLocksUnavailableException>(() => locks.TryAcquireAsync("several"));

        Assert.That(error!.Message, Does.Contain("PostgreSQL at 127.0.0.1:1,127.0.0.1:2, database app").And.Not.Contain("5432").And.Not.Contain("secret"));
    }
}
