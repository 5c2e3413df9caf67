using JobLocks.Diagnostics;
using Microsoft.Extensions.Logging;

namespace JobLocks.Postgres;

/// <summary>
/// Notices within seconds that our schema was dropped or made again, and that this role lost or got rights to it: the locks need none of it, and go on.
/// On a thread of its own. Thread-safe.
/// </summary>
internal sealed class SchemaWatch(SessionOpening opening, LockDesk desk, JobLocksOptions options, ILogger log) : IDisposable
{
    private static readonly TimeSpan BetweenLooks = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan LongestEnd = TimeSpan.FromSeconds(1);

    private readonly object _door = new();
    private Thread? _thread;
    private SchemaState? _seen;
    private volatile string? _trouble;
    private bool _isClosed;

    /// <summary>Why there is no schema, with the cure; null where there is one.</summary>
    public string? Trouble => _trouble;

    /// <summary>A session is open.</summary>
    public void Start()
    {
        lock (_door)
        {
            if (_isClosed || options.Schema is null) return;

            _thread ??= SessionThread.Start("JobLocks schema", Run);
        }
    }

    public void Dispose()
    {
        lock (_door)
        {
            _isClosed = true;
            Monitor.PulseAll(_door);
        }

        _thread?.Join(LongestEnd);
    }

    private void Run()
    {
        while (true)
        {
            lock (_door)
            {
                if (!_isClosed) Monitor.Wait(_door, BetweenLooks);
                if (_isClosed) return;
            }

            Look();
        }
    }

    private void Look()
    {
        // The next session looks by itself when it opens.
        if (desk.CurrentBackend is null) return;

        try
        {
            var now = Ask();
            if (now.Version < SchemaSql.Version)
            {
                opening.PrepareSchema();
                now = Ask();
            }

            _trouble = null;
            if (_seen is { } before && before != now)
            {
                log.SchemaChanged(options.Schema!);
                opening.SayWhatIsMissing(now);
            }

            _seen = now;
        }
        catch (WrongServerException gone)
        {
            if (_trouble is null) log.SchemaIsGone(gone.Message);
            _trouble = gone.Message;
        }
        catch (Exception away)
        {
            // It is looked at again; what is wrong with the server is said where locks are asked for.
            log.CannotLookAtSchema(options.Schema!, away);
        }
    }

    private SchemaState Ask() => Blocking.Wait(desk.AskAsync(session =>
    {
        var now = session.LookAtSchema(options.Schema!);
        desk.Become(session);
        return now;
    }));
}
