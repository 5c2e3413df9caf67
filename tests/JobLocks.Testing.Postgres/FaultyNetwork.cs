using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Npgsql;

namespace JobLocks.Testing.Postgres;

/// <summary>A network between a client and a PostgreSQL that does what networks do: loses, delays, and breaks off.</summary>
/// <remarks>
/// <para>
/// It is a TCP proxy on the loopback address with one thread of its own, so that a busy thread pool does not slow it down. A
/// fault is in force for all connections, old and new, when the method that sets it returns: what it forbids to pass does not
/// pass any more. Faults add up until <see cref="Heal"/>.
/// </para>
/// <para>
/// What is dropped is gone: no end sees the other one close, and a connection that lost something stays dead in that
/// direction even after <see cref="Heal"/>, since a stream with a hole in it is nothing that TCP would hand over. The same holds for
/// a connection that is opened while something is dropped. One that had nothing to say meanwhile goes on. To have all of it
/// arrive late, as TCP has it after a short outage, use <see cref="Hold"/>.
/// </para>
/// <para>Thread-safe. Each method waits, for the length of a system call or two, until the fault is in force.</para>
/// </remarks>
/// <example><code>
/// await using var network = await FaultyNetwork.StartAsync(postgres.ConnectionString);
/// await using var dataSource = NpgsqlDataSource.Create(network.ConnectionString);
/// network.BlackHole();
/// </code></example>
public sealed class FaultyNetwork : IAsyncDisposable
{
    private const int Backlog = 128;

    private static readonly TimeSpan LongestCommand = TimeSpan.FromSeconds(30);

    private readonly string _connectionString;
    private readonly EndPoint _server;
    private readonly NetworkDirection _toServer = new();
    private readonly NetworkDirection _toClient = new();
    private readonly List<NetworkLink> _links = [];
    private readonly ConcurrentQueue<Action> _commands = new();
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Socket _bell = NewBell();
    private readonly Socket? _reservation;
    private Socket? _listener;
    private long _faultTimestamp;
    private bool _ending;

    private FaultyNetwork(string connectionString, EndPoint server)
    {
        _connectionString = connectionString;
        _server = server;
        (_reservation, _listener) = Open();
        Port = ((IPEndPoint)_listener.LocalEndPoint!).Port;
        new Thread(Run) { IsBackground = true, Name = "Faulty network to " + server, Priority = ThreadPriority.AboveNormal }.Start();
    }

    /// <summary>Where clients find the server.</summary>
    public string Host => "127.0.0.1";

    /// <summary>Where clients find the server.</summary>
    public int Port { get; }

    /// <summary>The connection string of the server, led through this network.</summary>
    public string ConnectionString => Through(_connectionString);

    /// <summary>The <see cref="Stopwatch.GetTimestamp"/> from which on the last fault was in force; 0 where there was none yet.</summary>
    public long FaultTimestamp => Interlocked.Read(ref _faultTimestamp);

    /// <summary>How many connections have an open end.</summary>
    public int Connections
    {
        get
        {
            var count = 0;
            OnNetwork(() => count = _links.Count);
            return count;
        }
    }

    /// <summary>Opens a network that leads to a server.</summary>
    /// <param name="connectionString">Leads to one server, by TCP or by a Unix socket.</param>
    public static Task<FaultyNetwork> StartAsync(string connectionString)
    {
        var server = new NpgsqlConnectionStringBuilder(connectionString);
        return Task.FromResult(new FaultyNetwork(connectionString, EndPointOf(server.Host ?? "", server.Port)));
    }

    /// <summary>Opens a network that leads to a server.</summary>
    /// <param name="host">A name, an address, or the folder of a Unix socket.</param>
    /// <param name="port">Its port.</param>
    public static Task<FaultyNetwork> StartAsync(string host, int port) =>
        StartAsync(new NpgsqlConnectionStringBuilder { Host = host, Port = port }.ConnectionString);

    /// <summary>Leads a connection string through this network.</summary>
    /// <param name="connectionString">Another database or another user of the same server.</param>
    public string Through(string connectionString) =>
        new NpgsqlConnectionStringBuilder(connectionString) { Host = Host, Port = Port }.ConnectionString;

    /// <summary>Throws away what clients send. What the server sends still arrives.</summary>
    public void DropToServer() => Fault(() => _toServer.Drops = true);

    /// <summary>Throws away what the server sends. What clients send still arrives.</summary>
    public void DropToClient() => Fault(() => _toClient.Drops = true);

    /// <summary>Throws away everything.</summary>
    public void BlackHole() => Fault(() => _toServer.Drops = _toClient.Drops = true);

    /// <summary>Keeps what clients send until <see cref="Heal"/>. What the server sends still arrives.</summary>
    public void HoldToServer() => Fault(() => _toServer.Holds = true);

    /// <summary>Keeps what the server sends until <see cref="Heal"/>. What clients send still arrives.</summary>
    public void HoldToClient() => Fault(() => _toClient.Holds = true);

    /// <summary>Keeps everything until <see cref="Heal"/>, which then lets it arrive in order, the end of a connection included.</summary>
    public void Hold() => Fault(() => _toServer.Holds = _toClient.Holds = true);

    /// <summary>Lets what clients send arrive later, in order.</summary>
    /// <param name="latency">How much later. Takes the place of an earlier delay.</param>
    public void DelayToServer(TimeSpan latency) => Fault(() => _toServer.DelayBy(latency));

    /// <summary>Lets what the server sends arrive later, in order.</summary>
    /// <param name="latency">How much later. Takes the place of an earlier delay.</param>
    public void DelayToClient(TimeSpan latency) => Fault(() => _toClient.DelayBy(latency));

    /// <summary>Lets everything arrive later, in order: an answer comes twice the latency after its question.</summary>
    /// <param name="latency">How much later in each direction. Takes the place of earlier delays.</param>
    public void Delay(TimeSpan latency) => Fault(() =>
    {
        _toServer.DelayBy(latency);
        _toClient.DelayBy(latency);
    });

    /// <summary>Refuses new connections, as a machine does on which nothing listens. Old ones go on.</summary>
    public void RefuseNew() => Fault(() =>
    {
        _listener?.Dispose();
        _listener = null;
    });

    /// <summary>Closes every connection at both ends with a reset, once. New ones are as welcome as before.</summary>
    public void Cut() => Fault(() =>
    {
        foreach (var link in _links)
            link.Cut();

        _links.Clear();
    });

    /// <summary>Ends all faults. What was held or delayed arrives now, and what was dropped never.</summary>
    public void Heal() => OnNetwork(() => Change(() =>
    {
        _toServer.Heal();
        _toClient.Heal();
        _listener ??= Listen(Port);
    }));

    /// <summary>Cuts every connection and ends.</summary>
    public async ValueTask DisposeAsync()
    {
        if (!_ended.Task.IsCompleted)
            Post(() => _ending = true);

        await _ended.Task;
        _bell.Dispose();
    }

    private static EndPoint EndPointOf(string host, int port) =>
        host.StartsWith('/') ? new UnixDomainSocketEndPoint(string.Create(CultureInfo.InvariantCulture, $"{host}/.s.PGSQL.{port}"))
        : IPAddress.TryParse(host, out var address) ? new IPEndPoint(address, port)
        : new DnsEndPoint(host, port);

    /// <summary>A socket that hears itself. Waiting for sockets is what the thread does, so it takes one to wake it.</summary>
    private static Socket NewBell()
    {
        var bell = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        bell.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        bell.Connect(bell.LocalEndPoint!);
        bell.Blocking = false;
        return bell;
    }

    /// <summary>Off Windows, a second socket keeps the port from being given to others while nobody listens.</summary>
    private static (Socket? Reservation, Socket Listener) Open()
    {
        if (OperatingSystem.IsWindows())
            return (null, Listen(port: 0));

        var reservation = Bind(port: 0);
        return (reservation, Listen(((IPEndPoint)reservation.LocalEndPoint!).Port));
    }

    private static Socket Listen(int port)
    {
        var listener = Bind(port);
        listener.Listen(Backlog);
        listener.Blocking = false;
        return listener;
    }

    private static Socket Bind(int port)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        if (!OperatingSystem.IsWindows())
            socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.ReuseAddress, optionValue: true);

        socket.Bind(new IPEndPoint(IPAddress.Loopback, port));
        return socket;
    }

    private void Fault(Action change) => OnNetwork(() =>
    {
        Change(change);
        Interlocked.Exchange(ref _faultTimestamp, Stopwatch.GetTimestamp());
    });

    /// <summary>What was sent before meets the network as it was; what is still underway meets it as it becomes, however briefly.</summary>
    private void Change(Action change)
    {
        MoveAll();
        change();
        MoveAll();
    }

    /// <summary>Runs it on the thread of the network and waits for its end.</summary>
    private void OnNetwork(Action command)
    {
        ObjectDisposedException.ThrowIf(_ended.Task.IsCompleted, this);

        // Not disposed: should the thread be late after all, it must still find it.
        var done = new ManualResetEventSlim();
        Post(() =>
        {
            command();
            done.Set();
        });

        if (!done.Wait(LongestCommand))
            throw new InvalidOperationException("The faulty network does not react. This is a bug in it.", _ended.Task.Exception);
    }

    private void Post(Action command)
    {
        _commands.Enqueue(command);
        try
        {
            _bell.Send([0], SocketFlags.None, out _);
        }
        catch (ObjectDisposedException)
        {
            // Nobody is there any more to be woken.
        }
    }

    private void Run()
    {
        try
        {
            while (!_ending)
            {
                WaitForWork();
                ObeyCommands();
                Accept();
                MoveAll();
            }

            CloseAll();
            _ended.SetResult();
        }
#pragma warning disable CA1031 // An exception here would end the process; whoever waits for the network is told instead.
        catch (Exception bug)
#pragma warning restore CA1031
        {
            CloseAll();
            _ended.SetException(bug);
        }
    }

    private void WaitForWork()
    {
        var toRead = new List<Socket> { _bell };
        var toWrite = new List<Socket>();
        var next = long.MaxValue;
        if (_listener is not null)
            toRead.Add(_listener);

        foreach (var flow in _links.SelectMany(static link => link.Flows))
        {
            if (flow.ToRead is { } source)
                toRead.Add(source);

            if (flow.ToWrite is { } target)
                toWrite.Add(target);

            next = Math.Min(next, flow.NextArrival ?? long.MaxValue);
        }

        Socket.Select(toRead, toWrite, checkError: null, MicrosecondsUntil(next));
    }

    /// <summary>Whole milliseconds, rounded up: the system waits no shorter, and would be asked over and over again.</summary>
    private static int MicrosecondsUntil(long timestamp)
    {
        if (timestamp == long.MaxValue)
            return -1;

        var milliseconds = Math.Ceiling(Stopwatch.GetElapsedTime(Stopwatch.GetTimestamp(), timestamp).TotalMilliseconds);
        return 1000 * (int)Math.Clamp(milliseconds, 0, 1000);
    }

    private void ObeyCommands()
    {
        var rings = new byte[16];
        SocketError error;
        do _bell.Receive(rings, 0, rings.Length, SocketFlags.None, out error);
        while (error is SocketError.Success);

        while (_commands.TryDequeue(out var command)) command();
    }

    private void Accept()
    {
        while (_listener is not null && _listener.Poll(0, SelectMode.SelectRead))
        {
            Socket client;
            try
            {
                client = _listener.Accept();
            }
            catch (SocketException)
            {
                // The client was faster in leaving than we in letting it in.
                continue;
            }

            client.NoDelay = true;
            client.Blocking = false;
            _links.Add(_toServer.Drops || _toClient.Drops
                ? NetworkLink.Nowhere(client, _toServer, _toClient)
                : NetworkLink.To(client, _server, _toServer, _toClient, Post));
        }
    }

    private void MoveAll()
    {
        foreach (var link in _links)
        {
            foreach (var flow in link.Flows)
                flow.Move();

            if (link.IsOver)
                link.End();
        }

        _links.RemoveAll(static link => link.IsOver);
    }

    private void CloseAll()
    {
        _listener?.Dispose();
        _reservation?.Dispose();
        foreach (var link in _links)
            link.Cut();

        // Nothing moves any more; this lets those go who wait, and connections that came too late.
        _links.Clear();
        ObeyCommands();
    }
}
