using System.Diagnostics;
using System.Net.Sockets;

namespace JobLocks.Testing.Postgres;

/// <summary>
/// One direction of one connection: a queue, so that the order stays whatever happens to it. The end of the connection
/// travels in it too. Belongs to the thread of the network.
/// </summary>
internal sealed class NetworkFlow(NetworkDirection direction)
{
    private const int MostUnderway = 4 * 1024 * 1024;

    private readonly Queue<Parcel> _underway = new();
    private readonly byte[] _buffer = new byte[16 * 1024];
    private Socket? _source;
    private Socket? _target;
    private int _bytesUnderway;
    private int _bytesSentOfFirst;
    private bool _sourceEnded;
    private bool _lost;
    private bool _targetIsFull;

    private enum Content
    {
        Bytes,
        End,
        Reset,
    }

    /// <summary>Whether the source has closed and nothing more is to come out of this flow.</summary>
    public bool HasEnded { get; private set; }

    /// <summary>Whether the target must be told that the connection was reset.</summary>
    public bool Resets { get; private set; }

    /// <summary>The socket that this flow waits to read from, if it does.</summary>
    public Socket? ToRead => !_sourceEnded && (_lost || (_target is not null && _bytesUnderway < MostUnderway)) ? _source : null;

    /// <summary>The socket that this flow waits to write to, if it does.</summary>
    public Socket? ToWrite => _targetIsFull && !_lost && !direction.IsClosed ? _target : null;

    public void From(Socket source) => _source = source;

    public void To(Socket target) => _target = target;

    /// <summary>Nothing arrives any more, whatever becomes of the network: something is missing.</summary>
    public void Lose() => _lost = true;

    /// <summary>When there is something to do that no socket tells of.</summary>
    public long? NextArrival =>
        _underway.TryPeek(out var first) && !direction.IsClosed && !_targetIsFull ? direction.ArrivalOf(first.SentAt) : null;

    /// <summary>Takes what the source has sent and hands over what has arrived.</summary>
    public void Move()
    {
        Receive();
        Deliver();
    }

    private void Receive()
    {
        while (ToRead is { } source)
        {
            var count = source.Receive(_buffer, 0, _buffer.Length, SocketFlags.None, out var error);
            if (error is SocketError.WouldBlock)
                return;

            var content = error is not SocketError.Success ? Content.Reset : count == 0 ? Content.End : Content.Bytes;
            _sourceEnded = content is not Content.Bytes;
            _bytesUnderway += count;
            _underway.Enqueue(new(content, _buffer[..count], Stopwatch.GetTimestamp()));
            if (direction.Drops)
                Deliver();
        }
    }

    private void Deliver()
    {
        _targetIsFull = false;
        while (_underway.TryPeek(out var parcel))
        {
            _lost |= direction.Drops;
            if (!_lost && (direction.Holds || direction.ArrivalOf(parcel.SentAt) > Stopwatch.GetTimestamp() || !TryHandOver(parcel)))
                return;

            _underway.Dequeue();
            _bytesUnderway -= parcel.Bytes.Length;
            _bytesSentOfFirst = 0;
            HasEnded |= parcel.Content is not Content.Bytes;
        }
    }

    /// <returns>False where the target takes no more for now.</returns>
    private bool TryHandOver(Parcel parcel)
    {
        if (parcel.Content is Content.Reset)
            Resets = true;
        else if (parcel.Content is Content.End)
            ShutDown(_target!);
        else
            Send(parcel.Bytes);

        return !_targetIsFull;
    }

    private void Send(byte[] bytes)
    {
        while (_bytesSentOfFirst < bytes.Length && !_targetIsFull && !_lost)
        {
            _bytesSentOfFirst += _target!.Send(bytes, _bytesSentOfFirst, bytes.Length - _bytesSentOfFirst, SocketFlags.None, out var error);
            _targetIsFull = error is SocketError.WouldBlock;

            // The target is gone. That it is, the source learns the other way, in which the network may be broken or not.
            _lost = error is not (SocketError.WouldBlock or SocketError.Success);
        }
    }

    private static void ShutDown(Socket target)
    {
        try
        {
            target.Shutdown(SocketShutdown.Send);
        }
        catch (SocketException)
        {
            // It is gone already.
        }
    }

    private readonly record struct Parcel(Content Content, byte[] Bytes, long SentAt);
}
