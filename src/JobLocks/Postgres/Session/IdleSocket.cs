using System.Net.Sockets;
using System.Runtime.CompilerServices;
using Npgsql;
using Npgsql.Internal;

namespace JobLocks.Postgres.Session;

/// <summary>
/// Checks whether an idle connection has data to read, which can only be its end or a notice. The check costs a system call and no round trip. Npgsql
/// offers a pending read only through the thread pool, which the users' jobs can starve, so this class reads the driver's private socket. If a
/// version of Npgsql keeps the socket elsewhere, <see cref="Of"/> returns null and the session asks the server instead.
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
    /// Completes reads on the thread of the socket engine instead of the pool. Do not use it for an asynchronous connection: its continuations would
    /// run on the thread that serves all sockets.
    /// </summary>
    /// <remarks>
    /// Needed on Unix: data that arrives between the poll and the wait is otherwise handed to the pool, and blocked jobs would delay the answer until
    /// the command times out. Has no effect on Windows, or in a version of .NET without this switch.
    /// </remarks>
    public void CompleteReadsInline()
    {
        try
        {
            PreferInlineCompletions(_socket, true);
        }
        catch (MissingMethodException)
        {
            // Without the switch, a starved pool can delay an answer.
        }
    }

    /// <summary>True if data arrived or the socket is closed.</summary>
    public bool HasDataOrIsClosed()
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

    /// <summary>Closes the socket. A read on it ends at once.</summary>
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
