using System.Globalization;
using JobLocks.Diagnostics;
using JobLocks.Postgres.Locks;
using JobLocks.Primitives;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace JobLocks.Postgres.Session;

/// <summary>
/// Listens for releases by other processes. Uses a connection of its own, which is open while a caller or a parked run may need a notification, and
/// for 30 seconds after that. The dispatcher finds a missed release at its next check. Thread-safe.
/// </summary>
internal sealed class ReleaseListener(SessionConnector connector, LockDispatcher dispatcher, LockEvents events, ILogger log) : IAsyncDisposable
{
    private static readonly TimeSpan KeptOpen = TimeSpan.FromSeconds(30);
    private const int KeepAliveSeconds = 10;

    private static readonly TimeSpan BetweenTries = TimeSpan.FromSeconds(1);

    private readonly Lock _sync = new();
    private CancellationTokenSource? _stop;
    private Task _listening = Task.CompletedTask;
    private TimeSpan _neededAt;
    private bool _isDisposed;

    /// <summary>Starts to listen, unless it listens already.</summary>
    public void Start()
    {
        lock (_sync)
        {
            _neededAt = BootClock.Now;
            if (_stop is not null || _isDisposed) return;

            _stop = new();
            var stop = _stop.Token;
            _listening = Task.Run(() => ListenAsync(stop), CancellationToken.None);
        }
    }

    /// <summary>Stops listening if no request has waited for a while.</summary>
    public void StopIfIdle(bool needed)
    {
        lock (_sync)
        {
            if (needed) _neededAt = BootClock.Now;
            else if (_stop is not null && BootClock.Now - _neededAt > KeptOpen) Stop();
        }
    }

    public ValueTask DisposeAsync()
    {
        lock (_sync)
        {
            _isDisposed = true;
            Stop();
            return new(_listening);
        }
    }

    private void Stop()
    {
        _ = _stop?.CancelAsync();
        _stop = null;
    }

    private async Task ListenAsync(CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            try
            {
                await ListenOnceAsync(stop).ConfigureAwait(false);
            }
            catch (Exception broken) when (broken is not OperationCanceledException || !stop.IsCancellationRequested)
            {
                TryLog(broken);
                await Task.Delay(BetweenTries, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
            catch (OperationCanceledException)
            {
                return;
            }
        }
    }

    /// <summary>A logger that throws must not end the listener.</summary>
    private void TryLog(Exception broken)
    {
        try
        {
            log.ListenerBroke(broken);
        }
        catch (Exception)
        {
            // The next error is logged.
        }
    }

    private async Task ListenOnceAsync(CancellationToken stop)
    {
        var connection = connector.Connect(keepAliveSeconds: KeepAliveSeconds, isAsynchronous: true);
        await using (connection.ConfigureAwait(false))
        {
            connection.Notification += (_, notification) =>
            {
                if (long.TryParse(notification.Payload, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var key)) dispatcher.Retry(new(key));
                else events.OnNotification(notification.Payload, notification.PID);
            };
            using var listen = new NpgsqlCommand("LISTEN joblocks", connection);
            await listen.ExecuteNonQueryAsync(stop).ConfigureAwait(false);
            // Releases before this moment were missed.
            dispatcher.RetryAll();
            events.OnListening();
            while (true) await connection.WaitAsync(stop).ConfigureAwait(false);
        }
    }
}
