using Npgsql;

namespace JobLocks.Tests.Support;

/// <summary>A database role that may connect and nothing else, with one session that holds internal locks of JobLocks.</summary>
internal sealed class Stranger : IAsyncDisposable
{
    public const string Application = "reports";

    private readonly string _database;

    private Stranger(string database, string role, NpgsqlConnection session)
    {
        _database = database;
        Role = role;
        Session = session;
    }

    public string Role { get; }

    public NpgsqlConnection Session { get; }

    public int Backend => Session.ProcessID;

    public static async Task<Stranger> ConnectAsync(string database, CancellationToken stop, string application = Application)
    {
        var role = $"stranger_{Guid.NewGuid():N}";
        await LockTable.AskAsync(database, $"CREATE ROLE {role} LOGIN PASSWORD 'secret'");
        var login = new NpgsqlConnectionStringBuilder(database) { Username = role, Password = "secret", ApplicationName = application };
        return new(database, role, await Raw.OpenAsync(login.ConnectionString, stop));
    }

    /// <summary>Takes a lock, and waits for it where another session holds it.</summary>
    public Task TakeAsync(int keyClass, string number, CancellationToken stop) => Session.AskAsync($"SELECT pg_advisory_lock({keyClass}, {number})", stop);

    /// <summary>The same, but shares the lock.</summary>
    public Task ShareAsync(int keyClass, string number, CancellationToken stop) => Session.AskAsync($"SELECT pg_advisory_lock_shared({keyClass}, {number})", stop);

    public Task LetGoAsync(CancellationToken stop) => Session.AskAsync("SELECT pg_advisory_unlock_all()", stop);

    public async ValueTask DisposeAsync()
    {
        await Session.DisposeAsync();
        await LockTable.AskAsync(_database, $"DROP OWNED BY {Role}; DROP ROLE {Role}");
    }
}
