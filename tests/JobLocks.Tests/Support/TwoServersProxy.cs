using System.Net;
using System.Net.Sockets;
using Npgsql;

namespace JobLocks.Tests.Support;

/// <summary>A load balancer in front of two servers: the first connection leads to the first server, the second one to the second, and so on in turn.</summary>
internal sealed class TwoServersProxy : IAsyncDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _accepting;

    public TwoServersProxy(string first, string second)
    {
        _listener.Start();
        ConnectionString = new NpgsqlConnectionStringBuilder(first) { Host = "127.0.0.1", Port = ((IPEndPoint)_listener.LocalEndpoint).Port }.ConnectionString;
        _accepting = AcceptAsync([new(first), new(second)]);
    }

    public string ConnectionString { get; }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _accepting;
        _listener.Stop();
        _stop.Dispose();
    }

    private async Task AcceptAsync(NpgsqlConnectionStringBuilder[] servers)
    {
        var links = new List<Task>();
        try
        {
            for (var number = 0; ; number++)
            {
                var client = await _listener.AcceptTcpClientAsync(_stop.Token);
                links.Add(LinkAsync(client, servers[number % servers.Length]));
            }
        }
        catch (OperationCanceledException)
        {
            await Task.WhenAll(links);
        }
    }

    private async Task LinkAsync(TcpClient client, NpgsqlConnectionStringBuilder settings)
    {
        using var accepted = client;
        using var server = new TcpClient();
        try
        {
            await server.ConnectAsync(settings.Host!, settings.Port, _stop.Token);
            await Task.WhenAny(
                client.GetStream().CopyToAsync(server.GetStream(), _stop.Token), server.GetStream().CopyToAsync(client.GetStream(), _stop.Token));
        }
        catch (Exception ended) when (ended is SocketException or OperationCanceledException)
        {
            // An end of the connection is closed.
        }
    }
}
