using System.Net;
using System.Net.Sockets;

namespace JobLocks.Testing.Postgres;

/// <summary>A port of the loopback address that was free a moment ago.</summary>
internal static class LoopbackPort
{
    public static int Free()
    {
        using var listener = new TcpListener(IPAddress.Loopback, port: 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
