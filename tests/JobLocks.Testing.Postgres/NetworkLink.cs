using System.Net;
using System.Net.Sockets;

namespace JobLocks.Testing.Postgres;

/// <summary>One connection through a <see cref="FaultyNetwork"/>: a client, and the server as soon as it is reached.</summary>
internal sealed class NetworkLink
{
    private readonly Socket _client;
    private readonly NetworkFlow _toServer;
    private readonly NetworkFlow _toClient;
    private Socket? _server;
    private bool _closed;

    private NetworkLink(Socket client, NetworkDirection toServer, NetworkDirection toClient)
    {
        _client = client;
        _toServer = new(toServer);
        _toClient = new(toClient);
        _toServer.From(client);
        _toClient.To(client);
    }

    public IEnumerable<NetworkFlow> Flows => [_toServer, _toClient];

    /// <summary>Whether both ends have closed, or one was told that the other reset the connection.</summary>
    public bool IsOver => _closed || (_toServer.HasEnded && (_server is null || _toClient.HasEnded)) || Flows.Any(static flow => flow.Resets);

    /// <summary>A connection whose first packet never reaches the server.</summary>
    public static NetworkLink Nowhere(Socket client, NetworkDirection toServer, NetworkDirection toClient)
    {
        var link = new NetworkLink(client, toServer, toClient);
        link._toServer.Lose();
        return link;
    }

    /// <param name="client">The client, already connected.</param>
    /// <param name="server">Where the server listens.</param>
    /// <param name="toServer">What the network does to the one direction.</param>
    /// <param name="toClient">What the network does to the other direction.</param>
    /// <param name="onNetwork">Runs something on the thread of the network.</param>
    public static NetworkLink To(Socket client, EndPoint server, NetworkDirection toServer, NetworkDirection toClient, Action<Action> onNetwork)
    {
        var link = new NetworkLink(client, toServer, toClient);

        // A thread, since a server far away may be long in answering, and a busy pool of threads too.
        new Thread(() => link.Connect(server, onNetwork)) { IsBackground = true, Name = "Connect to " + server }.Start();
        return link;
    }

    /// <summary>Closes both ends with a reset.</summary>
    public void Cut()
    {
        _closed = true;
        Abort(_client);
        if (_server is not null)
            Abort(_server);
    }

    /// <summary>Closes what is left when the link is over.</summary>
    public void End()
    {
        if (Flows.Any(static flow => flow.Resets))
        {
            Cut();
            return;
        }

        _closed = true;
        _client.Dispose();
        _server?.Dispose();
    }

    private static void Abort(Socket socket)
    {
        socket.LingerState = new(enable: true, seconds: 0);
        socket.Dispose();
    }

    private void Connect(EndPoint endPoint, Action<Action> onNetwork)
    {
        var isTcp = endPoint.AddressFamily is not AddressFamily.Unix;
        var server = endPoint is DnsEndPoint
            ? new Socket(SocketType.Stream, ProtocolType.Tcp)
            : new Socket(endPoint.AddressFamily, SocketType.Stream, isTcp ? ProtocolType.Tcp : ProtocolType.Unspecified);
        try
        {
            server.Connect(endPoint);
            server.NoDelay = isTcp;
            server.Blocking = false;
            onNetwork(() => Connected(server));
        }
        catch (SocketException)
        {
            server.Dispose();
            onNetwork(Refused);
        }
    }

    private void Connected(Socket server)
    {
        if (_closed)
        {
            Abort(server);
            return;
        }

        _server = server;
        _toServer.To(server);
        _toClient.From(server);
    }

    private void Refused()
    {
        if (!_closed)
            Cut();
    }
}
