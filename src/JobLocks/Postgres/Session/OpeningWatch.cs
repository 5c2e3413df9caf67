using System.Collections.Concurrent;
using JobLocks.Primitives;
using Npgsql;

namespace JobLocks.Postgres.Session;

/// <summary>
/// Limits the time in which a session opens. The driver limits the time to connect, but not the silence of a server that accepted the connection.
/// Thread-safe.
/// </summary>
internal sealed class OpeningWatch(TimeSpan silenceTimeout)
{
    // The connection that is to hold the locks, and the connection of the proof.
    private readonly ConcurrentQueue<IdleSocket> _sockets = new();
    private long _until = (BootClock.Now + silenceTimeout).Ticks;
    private int _isClosed;

    /// <summary>How long the server can be silent.</summary>
    public TimeSpan SilenceTimeout => silenceTimeout;

    public bool IsExpired => BootClock.Now.Ticks > Volatile.Read(ref _until);

    /// <summary>Restarts the time limit, because the server answered.</summary>
    /// <param name="extra">Additional time for the next answer only.</param>
    public void Restart(TimeSpan extra = default) => Volatile.Write(ref _until, (BootClock.Now + silenceTimeout + extra).Ticks);

    /// <summary>The server accepted a connection.</summary>
    public void Connected(NpgsqlConnection connection)
    {
        Restart();
        if (IdleSocket.Of(connection) is not { } socket) return;

        _sockets.Enqueue(socket);
        // The time limit can expire while a connection is being opened.
        if (Interlocked.CompareExchange(ref _isClosed, 0, 0) == 1) socket.Close();
    }

    /// <summary>Closes the connections, so that the thread that waits for an answer continues.</summary>
    public void CloseNow()
    {
        Interlocked.Exchange(ref _isClosed, 1);
        foreach (var socket in _sockets) socket.Close();
    }
}
