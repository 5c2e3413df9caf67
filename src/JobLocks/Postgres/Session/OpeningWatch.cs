using JobLocks.Primitives;
using Npgsql;

namespace JobLocks.Postgres.Session;

/// <summary>
/// How long the opening of a session may still take. The driver sees to it that connecting ends; a server that lets us in and then is silent would be
/// waited for without end. Thread-safe.
/// </summary>
internal sealed class OpeningWatch(TimeSpan patience)
{
    private long _until = (BootClock.Now + patience).Ticks;
    private volatile IdleSocket? _socket;

    /// <summary>How long the server may be silent.</summary>
    public TimeSpan Patience => patience;

    public bool IsExpired => BootClock.Now.Ticks > Volatile.Read(ref _until);

    /// <summary>The server has answered, and has the same time again.</summary>
    /// <param name="extra">How much more it may take this once.</param>
    public void Restart(TimeSpan extra = default) => Volatile.Write(ref _until, (BootClock.Now + patience + extra).Ticks);

    /// <summary>The server has let us in.</summary>
    public void Connected(NpgsqlConnection connection)
    {
        _socket = IdleSocket.Of(connection);
        Restart();
    }

    /// <summary>Ends the connection, so that the one who waits for an answer goes on.</summary>
    public void Cut() => _socket?.Close();
}
