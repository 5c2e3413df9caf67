using System.Reflection;
using JobLocks.Testing.Postgres;

/// <summary>
/// One PostgreSQL for all fixtures of a test assembly that do not break it. Each such assembly compiles this file, because NUnit looks for set-up
/// fixtures in the assembly of the tests.
/// </summary>
#pragma warning disable CA1050, MA0047 // NUnit applies a set-up fixture without a namespace to the whole assembly.
[SetUpFixture]
public sealed partial class AssemblySetup
#pragma warning restore CA1050, MA0047
{
    private static PostgresServer? _server;
    private static ShadowedDatabases? _databases;

    /// <summary>The server.</summary>
    internal static PostgresServer Server => _server ?? throw new InvalidOperationException("The server was not started.");

    /// <summary>Databases on the server.</summary>
    internal static ShadowedDatabases Databases => _databases ?? throw new InvalidOperationException("The server was not started.");

    [OneTimeSetUp]
    public async Task StartServer()
    {
        Prepare();
        // A prepared transaction can hold a lock.
        _server = await PostgresServer.StartAsync("max_prepared_transactions = 10\n");
        _databases = await ShadowedDatabases.OnAsync(_server, [.. TestedAssemblies()]);
    }

    [OneTimeTearDown]
    public async Task StopServer()
    {
        if (_server is not null) await _server.DisposeAsync();
    }

    /// <summary>What an assembly needs before its first test.</summary>
    static partial void Prepare();

    private static IEnumerable<Assembly> TestedAssemblies() =>
        typeof(AssemblySetup).Assembly.GetReferencedAssemblies()
            .Where(static name => name.Name is "JobLocks" or "JobLocks.Hangfire" or "JobLocks.Quartz")
            .Select(Assembly.Load);
}
