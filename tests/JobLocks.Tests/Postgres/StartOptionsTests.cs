using JobLocks.Postgres.Session;
using Npgsql;

namespace JobLocks.Tests.Postgres;

/// <summary>Time-outs that end a connection before its first statement.</summary>
[TestFixture]
public sealed class StartOptionsTests
{
    private const string Idle = "57P05";
    private const string Transaction = "25P04";

    private StartOptions _options = null!;

    [SetUp]
    public void Begin() => _options = new();

    [Test]
    public void Overrides_one_after_the_other_and_keeps_the_options_of_the_user()
    {
        Assert.That(Used, Is.EqualTo("-c geqo=off"));

        Assert.That(Learns(Idle), Is.True);
        Assert.That(Used, Is.EqualTo("-c geqo=off -c idle_session_timeout=0"));

        Assert.That(Learns(Transaction), Is.True);
        Assert.That(Used, Is.EqualTo("-c geqo=off -c idle_session_timeout=0 -c transaction_timeout=0"));
    }

    [Test]
    public void Lets_each_of_several_connections_try_again_that_failed_at_once()
    {
        var used = Used;

        Assert.That(_options.TryAdaptTo(Error(Idle), used), Is.True);
        Assert.That(_options.TryAdaptTo(Error(Idle), used), Is.True);
        Assert.That(Used, Is.EqualTo("-c geqo=off -c idle_session_timeout=0"));
    }

    [Test]
    public void Overrides_a_statement_timeout_that_cut_off_an_answer_and_gives_up_where_that_does_not_help()
    {
        var cutOff = new AnswerCutOffException(new InvalidOperationException("an unexpected message"));

        Assert.That(_options.TryAdaptTo(cutOff, Used), Is.True);
        Assert.That(Used, Is.EqualTo("-c geqo=off -c statement_timeout=0"));
        Assert.That(_options.TryAdaptTo(cutOff, Used), Is.False);
    }

    [TestCase(Idle, TestName = "Gives_up_where_the_option_does_not_help")]
    [TestCase("08P01", TestName = "Gives_up_where_a_pooler_refuses_the_option")]
    public void Forgets(string state)
    {
        Learns(Idle);

        Assert.That(Learns(state), Is.False);
        Assert.That(Used, Is.EqualTo("-c geqo=off"));
    }

    [TestCase(Idle, "idle_session_timeout")]
    [TestCase(Transaction, "transaction_timeout")]
    public void Names_the_setting_that_could_not_be_overridden(string state, string setting) =>
        Assert.That(ServerTrouble.Describe("a server", Error(state)).Message, Does.Contain($"sets {setting} so low").And.EndsWith($"RESET {setting}."));

    private string? Used
    {
        get
        {
            var settings = new NpgsqlConnectionStringBuilder { Options = "-c geqo=off" };
            _options.AddTo(settings);
            return settings.Options;
        }
    }

    private bool Learns(string state) => _options.TryAdaptTo(Error(state), Used);

    private static PostgresException Error(string state) => new("terminating connection", "FATAL", "FATAL", state);
}
