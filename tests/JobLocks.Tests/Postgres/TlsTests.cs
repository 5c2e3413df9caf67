using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using JobLocks.Testing.Postgres;
using JobLocks.Tests.Support;
using Npgsql;

namespace JobLocks.Tests.Postgres;

/// <summary>A server that lets nobody in without TLS, and whose passwords change. Has a server of its own to set up.</summary>
[TestFixture, CancelAfter(120_000)]
public sealed class TlsTests
{
    private const string Secret = "hush-hush-4713";

    private PostgresServer _server = null!;
    private X509Certificate2 _certificate = null!;
    private LogLines _log = null!;

    [OneTimeSetUp]
    public async Task StartServer()
    {
        _server = await PostgresServer.StartOwnAsync();
        _certificate = NewCertificate();
        var server = _server.ConnectionString;
        var data = await LockTable.AskAsync(server, "SHOW data_directory");
        await LockTable.AskAsync(server, $"CREATE ROLE careful LOGIN PASSWORD '{Secret}'");
        await LockTable.AskAsync(server, "GRANT CREATE ON DATABASE postgres TO careful");

        // Written by the server itself, whose files they are; it takes no key that others can read.
        await WriteAsync($"{data}/server.crt", _certificate.ExportCertificatePem());
        await WriteAsync($"{data}/server.key", _certificate.GetRSAPrivateKey()!.ExportPkcs8PrivateKeyPem());
        await WriteAsync($"{data}/pg_hba.conf", "hostssl all careful 127.0.0.1/32 scram-sha-256\nhostnossl all careful 127.0.0.1/32 reject\nhost all all 127.0.0.1/32 trust");
        await LockTable.AskAsync(server, "ALTER SYSTEM SET ssl = on");
        await _server.RestartAsync();
    }

    [OneTimeTearDown]
    public async Task StopServer()
    {
        await _server.DisposeAsync();
        _certificate.Dispose();
    }

    [SetUp]
    public void StartLog() => _log = new();

    [TearDown]
    public async Task Leaves_no_lock_and_no_secret_behind()
    {
        _log.Dispose();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(_log.Text, Does.Not.Contain("hush-hush"));
            Assert.That(await LockTable.CountLeftAsync(_server.ConnectionString), Is.Zero);
        }
    }

    [Test]
    public async Task Holds_waits_and_hears_releases_over_TLS_with_a_password_that_is_asked_for_each_time(CancellationToken stop)
    {
        var asked = 0;

        string Password()
        {
            Interlocked.Increment(ref asked);
            return Secret;
        }

        await using var source = Source(builder => builder.UsePasswordProvider(_ => Password(), (_, _) => new(Password())));
        await using var first = AdvisoryLocks.Connect(source, Called("tls-first"), _log);
        await using var second = AdvisoryLocks.Connect(source, Called("tls-second"), _log);
        var held = (await first.TryAcquireAsync("tls", stop))!;
        var waiting = second.AcquireAsync("tls", Timeout.InfiniteTimeSpan, stop);
        // The one who waits listens over a connection of its own.
        await Markers.UntilAsync(async () => await CountEncryptedAsync("tls-second") == 2, stop);

        await held.DisposeAsync();
        await using var next = await waiting;

        using (Assert.EnterMultipleScope())
        {
            Assert.That(next.IsLost, Is.False);
            Assert.That(await CountEncryptedAsync("tls-first"), Is.EqualTo(1));
            Assert.That(asked, Is.GreaterThanOrEqualTo(3), "once for each connection");
        }
    }

    [Test]
    public async Task Goes_on_over_TLS_after_its_session_was_ended_and_the_password_changed(CancellationToken stop)
    {
        var password = Secret;
        await using var source = Source(builder => builder.UsePasswordProvider(_ => password, (_, _) => new(password)));
        await using var locks = AdvisoryLocks.Connect(source, Called("tls-ended"), _log);
        var held = (await locks.TryAcquireAsync("tls ended", stop))!;
        var told = held.WhenLost();

        password = "hush-hush-4714";
        await LockTable.AskAsync(_server.ConnectionString, $"ALTER ROLE careful PASSWORD '{password}'");
        await Sessions.EndAsync(_server.ConnectionString, "tls-ended");
        await told.WaitAsync(stop);
        await held.DisposeAsync();
        await using var again = await locks.TryAcquireOnceBackAsync("tls ended", stop);

        Assert.That(again, Is.Not.Null);
        await LockTable.AskAsync(_server.ConnectionString, $"ALTER ROLE careful PASSWORD '{Secret}'");
    }

    [Test]
    public async Task Asks_for_a_password_that_can_only_be_had_asynchronously(CancellationToken stop)
    {
        await using var source = Source(static builder => builder.UsePeriodicPasswordProvider(
            static async (_, stop) =>
            {
                await Task.Delay(TimeSpan.FromMilliseconds(1), stop);
                return Secret;
            },
            TimeSpan.FromHours(1),
            TimeSpan.FromSeconds(1)));
        await using var locks = AdvisoryLocks.Connect(source, Called("tls-later"), _log);

        await using var handle = await locks.TryAcquireOnceBackAsync("tls later", stop);

        Assert.That(handle, Is.Not.Null);
    }

    [Test]
    public async Task Refuses_a_certificate_that_it_cannot_trust_and_says_that_this_needs_a_change(CancellationToken stop)
    {
        using var stranger = NewCertificate();
        await using var source = Source(builder => builder.UseRootCertificate(stranger).ConnectionStringBuilder.Password = Secret);
        await using var locks = AdvisoryLocks.Connect(source, Called("tls-stranger"), _log);

        var error = await Assert.ThrowsAsync<JobLocksUnavailableException>(() => locks.TryAcquireAsync("tls", stop));

        using (Assert.EnterMultipleScope())
        {
            Assert.That(error!.ToString(), Does.Contain("certificate").IgnoreCase.And.Not.Contain("hush-hush"));
            Assert.That(error.NeedsChange, Is.True);
        }
    }

    [Test]
    public async Task Refuses_to_go_without_TLS_where_the_server_wants_it(CancellationToken stop)
    {
        await using var source = Source(static builder =>
        {
            builder.ConnectionStringBuilder.Password = Secret;
            builder.ConnectionStringBuilder.SslMode = SslMode.Disable;
        });
        await using var locks = AdvisoryLocks.Connect(source, Called("tls-none"), _log);

        var error = await Assert.ThrowsAsync<JobLocksUnavailableException>(() => locks.TryAcquireAsync("tls", stop));

        Assert.That(error!.ToString(), Does.Contain("28000").And.Not.Contain("hush-hush"));
    }

    private static Action<JobLocksOptions> Called(string application) => options => options.ApplicationName = application;

    private NpgsqlDataSource Source(Action<NpgsqlDataSourceBuilder> set)
    {
        var builder = new NpgsqlDataSourceBuilder(_server.ConnectionString)
        {
            ConnectionStringBuilder = { Username = "careful", SslMode = SslMode.VerifyFull },
        };
        builder.UseRootCertificate(_certificate);
        set(builder);
        return builder.Build();
    }

    private async Task<long> CountEncryptedAsync(string application) => (long)(await LockTable.AskAsync(
        _server.ConnectionString, "SELECT count(*) FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) WHERE application_name = $1 AND ssl", application))!;

    private Task<object?> WriteAsync(string path, string text) =>
        LockTable.AskAsync(_server.ConnectionString, $"COPY (SELECT unnest(string_to_array('{text}', E'\\n'))) TO PROGRAM 'umask 077; cat > {path}'");

    private static X509Certificate2 NewCertificate()
    {
        using var key = RSA.Create(2048);
        var request = new CertificateRequest("CN=127.0.0.1", key, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
        var names = new SubjectAlternativeNameBuilder();
        names.AddIpAddress(IPAddress.Loopback);
        request.CertificateExtensions.Add(names.Build());
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(certificateAuthority: true, hasPathLengthConstraint: false, 0, critical: true));
        return request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
    }
}
