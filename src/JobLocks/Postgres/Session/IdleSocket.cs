using System.Net.Sockets;
using System.Runtime.CompilerServices;
using Npgsql;
using Npgsql.Internal;

namespace JobLocks.Postgres.Session;

/// <summary>
/// Looks whether an idle connection has something to be read, which can only be its end or a notice: a look costs a system call,
/// and no round trip. Npgsql offers a pending read only through the thread pool, which the users' jobs may starve, and so this
/// reaches for the socket itself. Where a version of Npgsql keeps it elsewhere, <see cref="Of"/> is null and the session asks the server.
/// </summary>
internal sealed class IdleSocket
{
    private readonly Socket _socket;

    private IdleSocket(Socket socket) => _socket = socket;

    public static IdleSocket? Of(NpgsqlConnection connection)
    {
        try
        {
            return Connector(connection) is { } connector && SocketOf(connector) is { } socket ? new(socket) : null;
        }
        catch (Exception elsewhere) when (elsewhere is MissingFieldException or MissingMethodException)
        {
            return null;
        }
    }

    /// <summary>
    /// From now on, a thread that waits for an answer hears of it without the thread pool. On Unix, .NET hands what arrives between a look at an empty socket and
    /// the wait for it to the pool, and while jobs block the whole pool, the answer would not be seen until the command times out. Where a version of .NET has no
    /// such switch, and on Windows, which does not need it, nothing changes. Not for a connection that is used asynchronously: its continuations would run on the
    /// thread that serves all sockets.
    /// </summary>
    public void HearWithoutPool()
    {
        try
        {
            PreferInlineCompletions(_socket, true);
        }
        catch (MissingMethodException)
        {
            // Then only a starved pool can delay an answer.
        }
    }

    /// <summary>True where something came, or where the socket is gone.</summary>
    public bool HasNews()
    {
        try
        {
            return _socket.Poll(0, SelectMode.SelectRead);
        }
        catch (Exception closed) when (closed is SocketException or ObjectDisposedException)
        {
            return true;
        }
    }

    /// <summary>Ends whatever reads from it, at once.</summary>
    public void Close() => _socket.Dispose();

#pragma warning disable NPG9001 // The only way to the socket; a test says when it is gone.
    [UnsafeAccessor(UnsafeAccessorKind.Method, Name = "get_Connector")]
    private static extern NpgsqlConnector? Connector(NpgsqlConnection connection);

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_socket")]
    private static extern ref Socket? SocketOf(NpgsqlConnector connector);
#pragma warning restore NPG9001

    [UnsafeAccessor(UnsafeAccessorKind.Method, Name = "set_PreferInlineCompletions")]
    private static extern void PreferInlineCompletions(Socket socket, bool value);
}
