using JobLocks.Primitives;
using Npgsql;

namespace JobLocks.Postgres.Session;

/// <summary>
/// Limits the time in which a session opens. The driver limits the time to connect, but not the silence of a server that accepted the connection.
/// Thread-safe.
/// </summary>
internal sealed class OpeningWatch(TimeSpan silenceTimeout)
{
    private long _until = (BootClock.Now + silenceTimeout).Ticks;
    private volatile IdleSocket? _socket;

    /// <summary>How long the server can be silent.</summary>
    public TimeSpan SilenceTimeout => silenceTimeout;

    public bool IsExpired => BootClock.Now.Ticks > Volatile.Read(ref _until);

    /// <summary>Restarts the time limit, because the server answered.</summary>
    /// <param name="extra">Additional time for the next answer only.</param>
    public void Restart(TimeSpan extra = default) => Volatile.Write(ref _until, (BootClock.Now + silenceTimeout + extra).Ticks);

    /// <summary>The server accepted the connection.</summary>
    public void Connected(NpgsqlConnection connection)
    {
        _socket = IdleSocket.Of(connection);
        Restart();
    }

    /// <summary>Closes the connection, so that the thread that waits for an answer continues.</summary>
    public void CloseNow() => _socket?.Close();
}
